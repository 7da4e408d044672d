"""The commands on the store itself, so that they work with the daemon running or stopped: one module a command."""
