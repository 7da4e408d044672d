"""A process of its own for what is read on the admin listener, so that views and events don't share an interpreter."""
