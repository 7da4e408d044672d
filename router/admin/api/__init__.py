"""The JSON API of the admin listener: one module a subject."""
