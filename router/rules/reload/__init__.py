"""Notices that the rules file changed, and swaps in what it says."""
