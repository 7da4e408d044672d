"""Reads YAML text into nodes with positions, and nodes into models."""
