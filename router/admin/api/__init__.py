"""The JSON API of the admin listener: one module for each subject."""
