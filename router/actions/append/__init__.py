"""Append: write one line for each event."""
