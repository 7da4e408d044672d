"""`store check` reports each broken invariant of an SQLite store, and nothing in a sound store."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from router.domain.deliveries import PlannedDelivery, Settlement, State
from router.domain.errors import StoreError
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.store.contract import Finding
from router.store.sqlite.check import INVARIANTS, SHOWN, check
from router.store.sqlite.pieces import LARGE_BYTES
from router.store.sqlite.store import SqliteStore

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture
def busy(sqlite_store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan) -> Path:
    """An open store with deliveries in every state, and with two orders in which some deliveries wait."""
    store = sqlite_store
    for n in range(4):
        plan = [
            planned_delivery(id=f"x{n}", order_key="[1]"),
            planned_delivery("files", id=f"y{n}", action="append", order_key="[2]"),
            planned_delivery("else", id=f"z{n}", action="third"),
        ]
        store.append(event(), plan, "r1").result(10)
    states = {"ci": State.DEAD, "files": State.SUCCEEDED, "else": State.SUCCEEDED}
    for claim in store.claim({"ci": 1, "files": 1, "else": 1}, NOW).result(10):
        state = states[claim.delivery.target]
        outcome = Outcome.succeeded() if state is State.SUCCEEDED else Outcome.failed("x")
        store.settle([Settlement(claim.delivery.id, claim.token, outcome, state, NOW, NOW)]).result(10)
    store.claim({"files": 1}, NOW).result(10)
    store.append(event(id="large", body=b"x" * (LARGE_BYTES + 1)), [], "r1").result(10)
    store.cancel(["z1"], NOW).result(10)
    store.replay(["x0"], NOW).result(10)
    return path


def broken(path: Path) -> dict[str, Finding]:
    """The names of the broken invariants."""
    return {finding.name: finding for finding in check(path) if finding.broken}


def test_a_store_in_use_passes_the_check(busy: Path) -> None:
    findings = list(check(busy))

    assert [finding.name for finding in findings] == [invariant.name for invariant in INVARIANTS]
    assert {finding.broken for finding in findings} == {0}


@pytest.mark.parametrize(
    ("damage", "name", "examples"),
    [
        ("UPDATE delivery SET blocked = 1 WHERE id = 'x1'", "a blocked delivery waits", ("x1",)),
        ("UPDATE delivery SET blocked = 1 WHERE id = 'z2'", "a blocked delivery waits", ("z2",)),
        ("UPDATE delivery SET blocked = 1 WHERE id = 'y0'", "a blocked delivery waits", ("y0",)),
        ("UPDATE delivery SET blocked = 0 WHERE id IN ('x0', 'y3')", "of one order only the first", ("x0", "y3")),
        ("UPDATE delivery SET token = 't' WHERE id = 'z2'", "a delivery has a claim's token", ("z2",)),
        ("UPDATE delivery SET token = NULL WHERE state = 'running'", "a delivery has a claim's token", ("y1",)),
        ("UPDATE attempt SET finished_at = 1", "a running delivery has one attempt", ("y1",)),
        ("UPDATE attempt SET finished_at = NULL", "no attempt is under way", ("x0", "y0", "z0")),
        ("DELETE FROM attempt WHERE finished_at > 0", "a delivery that succeeded", ("y0", "z0")),
        ("DELETE FROM ruleset", "the rules that planned", ("x0", "x1", "x2", "y1", "y2")),
        ("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'delivery'", "no delivery's place", ("x1", "x2", "x3", "y1", "y2")),
        ("DELETE FROM piece WHERE number = 1", "a body in pieces is whole", ("large",)),
        ("DELETE FROM event WHERE seq = 2", "every delivery has its event", ("delivery row 4", "delivery row 5", "delivery row 6")),
        ("DELETE FROM delivery WHERE id = 'y1'", "every delivery has its event", ("attempt row ?",)),
    ],
)  # fmt: skip
def test_each_kind_of_damage_is_found_and_named(busy: Path, damage: str, name: str, examples: tuple[str, ...]) -> None:
    with closing(apsw.Connection(str(busy))) as connection:
        connection.execute(damage)

    [found] = [finding for title, finding in broken(busy).items() if title.startswith(name)]

    if name.startswith("no delivery's place"):
        assert found.broken > SHOWN
    else:
        assert sorted(found.examples)[: len(examples)] == sorted(examples)
        assert found.broken >= len(examples)
    assert len(found.examples) <= SHOWN
    assert found.cure


def test_the_suggested_repair_of_a_broken_order_works(sqlite_store: SqliteStore, busy: Path) -> None:
    with closing(apsw.Connection(str(busy))) as connection:
        connection.execute("UPDATE delivery SET blocked = 1 WHERE id = 'x1'")
    assert sqlite_store.claim({"ci": 9}, NOW).result(10) == []

    sqlite_store.cancel(["x1"], NOW).result(10)
    sqlite_store.replay(["x1"], NOW).result(10)

    assert broken(busy) == {}
    assert [claim.delivery.id for claim in sqlite_store.claim({"ci": 9}, NOW).result(10)] == ["x2"]


def test_a_damaged_file_is_reported(sqlite_store: SqliteStore, path: Path, event: MakeEvent) -> None:
    for _ in range(50):
        sqlite_store.append(event(body=b"x" * 3000), [], "r1").result(10)
    sqlite_store.close()
    with path.open("r+b") as file:
        file.seek(-20 * 4096, 2)  # inside the events, far behind the schema
        file.write(b"\xff" * 4096 * 3)

    assert "the file is a sound database" in broken(path)


def test_a_file_that_is_not_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database" * 1000)

    with pytest.raises(StoreError, match="not a webhook-router store"):
        list(check(tmp_path / "x.db"))
    with pytest.raises(StoreError, match="there is no store"):
        list(check(tmp_path / "none.db"))
