"""`serve --processes N`: intake processes that take requests, and hand their events to the daemon's main process."""
