"""The nouns that all rooms share. Imports no other room."""
