"""The HTTP client of forwards and polls."""
