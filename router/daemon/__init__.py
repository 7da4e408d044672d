"""The running daemon: start, stop, reload, and the system around it."""
