"""Which requests the admin listener accepts."""
