"""A log line as text for a person: time, level, message, fields, and the long ids last."""

import json
from collections.abc import Iterable, MutableMapping
from datetime import datetime
from typing import Any

_IDS = ("event_id", "delivery_id", "trace_id")
_LEVELS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[1;31m"}
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_BARE = frozenset("-_./:+@~*$,()<>…")  #: besides letters and digits, the characters of a value without quotes


class TextLine:
    """Formats lines: with the local time of day on a terminal, elsewhere with date and UTC."""

    def __init__(self, *, colours: bool, terminal: bool) -> None:
        self._colours = colours
        self._terminal = terminal
        # Without a time: the writing thread adds it later.
        self.lost_lines = b"warning log lines lost: they could not be written  lines=%d"

    def line(self, fields: MutableMapping[str, Any], level: str, now: datetime) -> str:
        """The line; fields that are None are left out."""
        time = f"{now.astimezone():%H:%M:%S.%f}"[:-3] if self._terminal else f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"
        message = shown(fields.pop("event", ""))
        ids = [self._pair(name, fields.pop(name)) for name in _IDS if fields.get(name) is not None]
        others = [self._pair(name, value) for name, value in fields.items() if value is not None]
        head = f"{self._in(_DIM, time)} {self._in(_LEVELS.get(level, ''), f'{level:<7}')} {self._in(_BOLD, message)}"
        return " ".join([head, *([""] if others or ids else []), *others, *(self._in(_DIM, one) for one in ids)])

    def _pair(self, name: str, value: Any) -> str:
        text = valued(value)
        # Dim keys, so that the values stand out; ids are dim as a whole.
        return f"{name}={text}" if name in _IDS else f"{self._in(_DIM, name + '=')}{text}"

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colours and colour else text


def shown(text: object) -> str:
    """The text with control characters and line breaks escaped."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def valued(value: Any) -> str:
    """A value as one word if possible, otherwise in quotes."""
    if isinstance(value, list | tuple):
        return _listed(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, default=repr)
    text = shown(value)
    if text and (text.isalnum() or all(c.isalnum() or c in _BARE for c in text)):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _listed(values: Iterable[Any]) -> str:
    return ",".join(valued(value) for value in values) or "none"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
