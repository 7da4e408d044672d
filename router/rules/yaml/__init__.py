"""From YAML text to nodes with positions, and to models."""
