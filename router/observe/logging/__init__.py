"""Log lines: one line each, JSON or text."""
