"""The key by which the store recognizes a copy of an event."""

import hashlib

import orjson

from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.rules.source import Source

_LONGEST_KEY = 256  #: characters; a longer key is stored as its hash
_HASHED = "sha256:"  #: before a hash; the keys themselves are JSON, which never begins like this


def dedupe_key(parsed: ParsedEvent, source: Source) -> str | None:
    """The value of the source's `dedupe` field. None when it is empty, missing, or neither text nor a number."""
    if source.dedupe is None:
        return None
    try:
        values = source.dedupe.field.values(parsed)
    except EvaluationError:
        return None
    value = values[0] if values else None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return None
    return stored_key(value)


def dedupe_key_of(sent: ParsedEvent, stored: ParsedEvent, source: Source) -> str | None:
    """The key of an event as it was sent. Only its hash, if the stored event has it redacted."""
    key = dedupe_key(sent, source)
    if key is None or stored is sent or dedupe_key(stored, source) == key:
        return key
    return hashed_key(key)


def hashed_key(key: str) -> str:
    """The hash of a key."""
    return key if key.startswith(_HASHED) else _HASHED + hashlib.sha256(key.encode()).hexdigest()


def stored_key(value: str | float) -> str:
    """A value as the store has it: JSON, or its hash if it is long."""
    key = orjson.dumps(value).decode()
    return key if len(key) <= _LONGEST_KEY else hashed_key(key)
