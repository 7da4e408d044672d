"""Copies a store into another one, of whichever kind, while no daemon runs on either."""
