"""Conditions, and the index that finds the rules whose conditions may hold."""
