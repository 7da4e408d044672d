"""What a delivery does: one folder for each type of action."""
