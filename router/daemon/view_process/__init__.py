"""A process of its own that reads the store for the admin listener, so that views and events don't share an
interpreter."""
