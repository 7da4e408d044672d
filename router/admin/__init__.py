"""The admin listener: probes, metrics, reload and the API of a running daemon."""
