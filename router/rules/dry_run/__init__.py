"""Shows what the rules would do with an event, without executing it."""
