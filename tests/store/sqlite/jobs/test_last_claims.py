"""The time of the last claim at a target with a low rate is committed with the claim."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from router.domain.deliveries import PlannedDelivery
from router.domain.events import Event
from router.store.contract import Store
from router.store.sqlite.jobs import last_claims
from tests.store.conftest import NOW

MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def test_only_claims_of_recorded_targets_are_stored(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    store.append(event(), [planned_delivery(target="slow"), planned_delivery(target="fast")], "r1").result(10)
    assert store.last_claims() == {}

    store.claim({"slow": 1, "fast": 1, "empty": 1}, NOW + 7, ["slow", "empty"]).result(10)

    assert store.last_claims() == {"slow": NOW + 7}  # at the empty one nothing was claimed


def test_a_later_claim_replaces_an_earlier_one(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    store.append(
        event(), [planned_delivery(target="a"), planned_delivery(target="b"), planned_delivery(target="a")], "r1"
    ).result(10)

    for at in (NOW, NOW + 5, NOW - 5):  # before the last one the clock was set back
        store.claim({"a": 1, "b": 1}, at, ["a", "b"]).result(10)

    assert store.last_claims() == {"a": NOW + 5, "b": NOW}


@pytest.mark.parametrize("value", ["", "nonsense", "[1]", '{"a": "x"}', "null"])
def test_an_unreadable_note_counts_as_missing(value: str, tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "x.db"))
    connection.execute("CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT)")
    connection.execute("INSERT INTO note VALUES ('last_claims', ?)", (value,))

    last_claims.note(connection, ["b"], 7)

    assert last_claims.read(connection.execute(last_claims.FIND).fetchall()) == {"b": 7}


def test_the_oldest_claims_are_removed_first(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "x.db"))
    connection.execute("CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT)")
    for number in range(last_claims.KEPT + 5):
        last_claims.note(connection, [f"t{number}"], number)

    last_claims.note(connection, ["back"], -5)  # the newest claim, by a clock that was set back

    found = last_claims.read(connection.execute(last_claims.FIND).fetchall())
    assert len(found) <= last_claims.KEPT + 1
    assert "t0" not in found
    assert found["back"] == -5
