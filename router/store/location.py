"""Reads a store's location as the command line has it."""

from pathlib import Path

from router.domain.errors import StartError


def store_path(text: str) -> Path:
    """Parse `sqlite:PATH`. Raises StartError."""
    scheme, colon, path = text.partition(":")
    if scheme != "sqlite" or not colon or not path:
        raise StartError(f"{text!r} is no store; write sqlite:PATH, such as sqlite:webhook-router.db")
    return Path(path)
