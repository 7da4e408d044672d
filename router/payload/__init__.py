"""From the bytes of a body to a payload: JSON, a form, multipart, XML, or text."""
