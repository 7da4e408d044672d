"""What may be read, who may write, and what must never be written."""
