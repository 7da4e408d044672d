"""From the bytes of a body to a payload: JSON, a form, or text."""
