"""Replaces chosen values in the bytes of a body, and leaves all other bytes as they came."""
