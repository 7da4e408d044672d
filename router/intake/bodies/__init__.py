"""How bodies are read: one module a format."""
