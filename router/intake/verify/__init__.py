"""How senders are verified: one module a scheme."""
