"""Who may ask the admin listener."""
