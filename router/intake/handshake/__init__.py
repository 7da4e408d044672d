"""How providers ask whether an address takes their events, and what they have to hear: one module a handshake."""
