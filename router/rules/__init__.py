"""From the text of rules.yaml to a compiled, immutable Ruleset."""
