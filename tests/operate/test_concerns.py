"""Each problem of a daemon is a concern with its cure. A healthy daemon has none."""

from typing import Any

import pytest

from router.domain.holds import Holds
from router.domain.summaries import Depth
from router.operate.concerns import LONG_MS, LOW_BYTES, Place, concerns
from router.operate.status import NOTES, Status
from router.store.contract import StoreSize
from router.store.fleet import NodeFacts, NodeState

NOW = 1_700_000_000_000
ROOM = StoreSize(1000, 0, LOW_BYTES)


def status(*depths: Depth, nodes: tuple[NodeState, ...] = (), **notes: Any) -> Status:
    return Status("store.db", 1, {name: {} for name in NOTES} | notes, depths, Holds(), 1000, 0, nodes)


def node(name: str, rules: str = "r1", *, lives: bool = True) -> NodeState:
    facts = NodeFacts(name, "host", 1, "1.0", ("delivery",), ())
    return NodeState(1, facts, rules, NOW - 9_000, NOW - 5_000, NOW, lives)


def test_a_healthy_daemon_raises_no_concern() -> None:
    fine = status(
        Depth("ci", due=1, oldest_at=NOW - 1), nodes=(node("a"), node("b")), breakers={"ci": {"state": "closed"}}
    )

    assert concerns(fine, ROOM, {"store": True}, NOW) == []


@pytest.mark.parametrize(
    ("found", "what", "place"),
    [
        (status(Depth("ci", dead=2)), "2 deliveries dead: given up.", Place.DEAD),
        (status(Depth("ci", due=1, oldest_at=NOW - LONG_MS - 1)), "The oldest delivery waits for 15m.", Place.PENDING),
        (status(breakers={"ci": {"state": "open", "until": NOW + 9_000}}), "its breaker is open", Place.PENDING),
        (status(breakers={"ci": {"state": "half-open"}}), "its breaker is half-open", Place.PENDING),
        (status(Depth("ci", held=3, paused=True)), "3 deliveries held at ci: paused.", Place.TARGETS),
        (status(nodes=(node("a"), node("b", lives=False))), "Node b is lost: silent for 5s.", Place.NODES),
        (status(nodes=(node("a"), node("b", "r2"))), "The nodes run 2 different rule sets.", Place.NODES),
        (
            status(rules={"drift": {"why": "problems", "since": NOW - 60_000, "problems": ["r.yaml:1:1: bad", "x"]}}),
            "differs from the running rules, for 60s: r.yaml:1:1: bad (and 1 more)",
            Place.RULES,
        ),
    ],
    ids=["dead", "old", "open", "half-open", "paused", "lost", "nodes", "drift"],
)
def test_each_concern_names_its_cure(found: Status, what: str, place: Place) -> None:
    [concern] = concerns(found, ROOM, {}, NOW)

    assert what in concern.what
    assert concern.cure
    assert concern.place is place


def test_a_failing_check_and_a_full_disk_are_listed_first() -> None:
    room = StoreSize(1000, 0, LOW_BYTES - 1)

    found = concerns(status(Depth("ci", dead=1)), room, {"store": False, "rules": True}, NOW)

    assert [concern.place for concern in found] == [Place.LOG, Place.LOG, Place.DEAD]
    assert "its store check fails" in found[0].what
    assert "512.0 MiB left" in found[1].what


def test_many_broken_targets_are_listed_in_short() -> None:
    broken = {f"t{number:03}": {"state": "open"} for number in range(200)}

    found = concerns(status(breakers=broken), ROOM, {}, NOW)

    assert len(found) == 6
    assert found[-1].what == "195 further targets keep failing."
