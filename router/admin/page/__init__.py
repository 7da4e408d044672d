"""The operator's page: what came in, where it went and why, and what can be done about it."""
