"""Append: write one line an event."""
