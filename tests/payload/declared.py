"""Parses a body by its declared type."""

from typing import Any

from router.payload.body import Parse, read_declared


def parse_payload(
    body: bytes, content_type: str | None, *, json_field: str | None = None, parse: Parse | None = None
) -> tuple[Any, bool]:
    """The payload, and whether all its values are texts. Raises PayloadError."""
    read = read_declared(body, content_type, json_field=json_field, parse=parse)
    return read.payload, read.texts
