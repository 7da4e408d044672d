"""The starter rules that `init` writes: one rules file for each kind of source."""
