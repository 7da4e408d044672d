"""Forward: send the event to an HTTP service."""
