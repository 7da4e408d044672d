"""The operator's page: what came, where it went and why, and what can be done about it."""
