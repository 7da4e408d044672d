"""Stores why the due deliveries of each target wait. Lists and `status` show it."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from router.domain.target_state import Wait
from router.store.contract import Store

WAITS_NOTE = "waits"
EVERY_SECONDS = 1.0  #: shortest time between two notes: a busy target's waits change many times a second
_SAME_MS = 250  #: times that differ by less count as equal: each check computes them anew from two clocks
_LOOK_SECONDS = 60.0  #: until the next call is needed when the note is up to date


class WaitNotes:
    """Belongs to the delivery loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[str, dict[str, Any]] = {}
        self._noted_at = float("-inf")

    def begin(self, noted: str | None) -> None:
        """Clear the note of the previous process."""
        if noted is not None and parsed_note(noted):
            self._put({})

    def note(self, waits: Mapping[str, tuple[Wait, float | None]], now: int, clock: float) -> float:
        """Note what each target's due deliveries wait for, and for how many seconds.

        Returns the seconds until it must be called again. `now` in ms, `clock` in monotonic seconds.
        """
        found = {
            key: {"for": wait.value, "until": None if seconds is None else now + round(seconds * 1000)}
            for key, (wait, seconds) in waits.items()
        }
        if self._is_noted(found):
            return _LOOK_SECONDS
        left = self._noted_at + EVERY_SECONDS - clock
        if left > 0:
            return left
        self._noted_at = clock
        self._put(found)
        return _LOOK_SECONDS

    def _is_noted(self, found: Mapping[str, dict[str, Any]]) -> bool:
        return found.keys() == self._noted.keys() and all(_same(found[key], self._noted[key]) for key in found)

    def _put(self, found: dict[str, dict[str, Any]]) -> None:
        self._noted = found
        # Nothing depends on the note: if it can't be written, it is as old as the rest of the store.
        self._store.put_note(WAITS_NOTE, orjson.dumps(found).decode())


def parsed_note(text: str | None) -> dict[str, Any]:
    """A stored note as a mapping. Empty when the note can't be read."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one["for"] != other["for"] or (one["until"] is None) != (other["until"] is None):
        return False
    return one["until"] is None or abs(one["until"] - other["until"]) < _SAME_MS
