"""Probes: the requests by which a provider tests an address. They are answered, and never become events."""
