"""What a delivery does: one module a type."""
