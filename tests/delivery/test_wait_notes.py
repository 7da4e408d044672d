"""The reasons why due deliveries wait are stored when they change, at most once a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.delivery.wait_notes import WAITS_NOTE, WaitNotes, parsed_note
from router.domain.target_state import Wait
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(tmp_path / "store.db")
    yield store
    store.close()


def noted(store: SqliteStore) -> dict[str, object]:
    store.put_note("barrier", "{}").result(60)  # notes are committed in order
    return parsed_note(store.notes().get(WAITS_NOTE))


def test_only_changed_waits_are_written(store: SqliteStore) -> None:
    waits = WaitNotes(store)

    waits.note({"a": (Wait.RATE, 60.0)}, 1_000_000, 10.0)
    assert noted(store) == {"a": {"for": "rate", "until": 1_060_000}}
    waits.note({"a": (Wait.RATE, 30.1)}, 1_030_000, 40.0)  # the same moment, 100 ms off because of another clock
    assert noted(store) == {"a": {"for": "rate", "until": 1_060_000}}
    waits.note({}, 1_060_000, 70.0)
    assert noted(store) == {}


def test_changes_are_written_once_a_second_at_most(store: SqliteStore) -> None:
    waits = WaitNotes(store)
    waits.note({"a": (Wait.CONCURRENCY, None)}, 1_000_000, 10.0)

    assert waits.note({}, 1_000_400, 10.4) == pytest.approx(0.6)
    assert noted(store) == {"a": {"for": "concurrency", "until": None}}
    waits.note({}, 1_001_000, 11.0)
    assert noted(store) == {}


def test_a_note_from_before_a_restart_is_cleared(store: SqliteStore) -> None:
    store.put_note(WAITS_NOTE, '{"a": {"for": "rate", "until": 5}}')
    waits = WaitNotes(store)

    waits.begin(store.notes().get(WAITS_NOTE) or '{"a": {}}')

    assert noted(store) == {}
