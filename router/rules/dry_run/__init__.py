"""What the rules would do with an event; nothing is executed."""
