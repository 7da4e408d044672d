"""Probes: requests with which a provider tests an address. They get an answer and never become events."""
