"""How providers test whether an address accepts their events, and the answers that they expect. One module for each
handshake."""
