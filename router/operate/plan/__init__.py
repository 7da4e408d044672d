"""Compares what other rules would do with stored events. Nothing is executed, sent or written."""
