"""The interfaces of action types, verification schemes and handshakes."""
