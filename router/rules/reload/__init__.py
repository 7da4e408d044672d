"""Notices that the rules file changed, and swaps in the new rules."""
