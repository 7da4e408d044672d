"""The commands, one module each. Commands on events and deliveries use the store, so they work without a daemon."""
