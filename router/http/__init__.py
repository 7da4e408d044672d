"""HTTP servers: they turn bytes into requests and replies into bytes, and know nothing of what a handler does."""
