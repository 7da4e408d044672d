"""Sends an event to a daemon as its provider would."""
