"""What action types, verification schemes and handshakes offer to the rules, and what they are given."""
