"""The types and small functions that all rooms share. Imports no other room."""
