"""What is SQLite's own: ownership, files, crashes, full disks, plans of queries."""

import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from router.errors import StoreError, StoreInUse, StoreUnavailable
from router.model import Event, Outcome, PlannedDelivery, Settlement, State
from router.store import jobs, rows, sqlite, writer
from router.store.sqlite import SqliteStore

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def test_a_second_owner_is_told_who_the_first_is(store: SqliteStore, path: Path) -> None:
    with pytest.raises(StoreInUse, match=r"in use by another daemon \(process \d+\)"):
        SqliteStore(path)


def test_a_closed_store_can_be_opened_again(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    first = event()
    store.append(first, [], "r1").result(10)
    store.close()

    again = SqliteStore(path)
    assert again.events() == [first]
    again.close()


def test_others_may_read_while_a_daemon_owns_it(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    store.append(event(), [], "r1").result(10)

    reader = SqliteStore(path, create=False, own=False)

    assert len(reader.events()) == 1
    with pytest.raises(StoreError, match="reading only"):
        reader.append(event(), [], "r1")
    reader.close()


def test_its_files_are_for_the_owner_only(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    store.append(event(), [], "r1").result(10)

    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.glob("store.db*")}

    assert set(modes) >= {"store.db", "store.db-wal", "store.db.lock"}
    assert set(modes.values()) == {0o600}


def _other_database(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE mine (x)")
    connection.close()


def _newer_store(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_text("no database " * 1000), "some other file"),
        (_other_database, "some other program"),
        (_newer_store, "schema version 99"),
    ],
)
def test_what_is_no_store_is_left_alone_with_a_clear_error(
    path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(StoreError, match=message):
        SqliteStore(path)

    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_missing_folder_and_a_missing_store_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder must exist"):
        SqliteStore(tmp_path / "none" / "store.db")
    with pytest.raises(StoreError, match="there is no store"):
        SqliteStore(tmp_path / "store.db", create=False, own=False)
    assert not (tmp_path / "store.db").exists()


def test_a_full_disk_refuses_and_heals_without_a_restart(
    store: SqliteStore, event: MakeEvent, planned: MakePlan
) -> None:
    connection = store._writer._connection  # type: ignore[union-attr]  # the disk is made full from inside
    store.append(event(), [planned()], "r1").result(10)
    [claim] = store.claim({"ci": 1}, NOW).result(10)
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", pages)

    def fill() -> None:
        for _ in range(1000):
            store.append(event(body=b"x" * 10_000), [planned()], "r1").result(10)

    with pytest.raises(StoreUnavailable, match="can't commit"):
        fill()
    assert not store.writable()
    stored = len(store.events(limit=10_000))

    connection.pragma("max_page_count", 1_000_000_000)
    done = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
    assert store.settle(done).result(10)
    store.append(event(), [planned()], "r1").result(10)
    assert store.writable()
    assert len(store.events(limit=10_000)) == stored + 1
    assert len(store.deliveries(limit=10_000)) == stored + 1  # nothing half-stored


def test_too_much_waiting_is_refused_at_once(
    store: SqliteStore, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING_BYTES", 10_000)

    future = store.append(event(body=b"x" * 20_000), [], "r1")

    with pytest.raises(StoreUnavailable, match="too far behind"):
        future.result(0)


_CRASHING = """
import sys
from pathlib import Path
from router.model import Event, PlannedDelivery, RulesetText
from router.store.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
store.put_ruleset(RulesetText("r1", "", "/")).result()
for n in range(1_000_000):
    event = Event(f"{sys.argv[2]}-{n}", "s", "POST", "/", "", (), b"x" * 500, "", 1)
    plan = [PlannedDelivery(f"d-{sys.argv[2]}-{n}", "r", "a", "forward", "t")]
    future = store.append(event, plan, "r1")
    if n % 3 == 0:
        store.claim({"t": 1}, 2)
    print(future.result().event_id, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9_with_all_its_deliveries(path: Path) -> None:
    acknowledged: list[str] = []
    for run in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _CRASHING, str(path), str(run)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(line.strip())
            if len(acknowledged) % 60 == 0:
                process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()

    store = SqliteStore(path)
    found = {event.id for event in store.events(limit=100_000)}
    deliveries = store.deliveries(limit=100_000)
    store.close()
    assert set(acknowledged) <= found
    assert {delivery.event_id for delivery in deliveries} == found
    assert {delivery.state for delivery in deliveries} <= {State.PENDING, State.DEAD}


def test_what_a_dead_owner_held_is_given_back(
    store: SqliteStore, path: Path, event: MakeEvent, planned: MakePlan
) -> None:
    store.append(event(), [planned(order_key="[1]")], "r1").result(10)
    store.append(event(), [planned(order_key="[1]")], "r1").result(10)
    for interruption in (1, 2):
        [claim] = store.claim({"ci": 5}, NOW).result(10)
        store.close()
        store = SqliteStore(path)
        assert store.deliveries()[0].state is State.PENDING
        assert store.deliveries()[0].interruptions == interruption
    attempts = store.attempts(claim.delivery.id)
    assert [(a.number, a.outcome) for a in attempts] == [(1, "interrupted"), (2, "interrupted")]

    store.claim({"ci": 5}, NOW).result(10)
    store.close()
    store = SqliteStore(path)

    head, following = store.deliveries()
    assert head.state is State.DEAD
    assert "3 times in a row" in head.error
    assert not following.blocked
    store.close()


@pytest.mark.parametrize(
    ("sql", "bindings", "index"),
    [
        (jobs._CLAIM, ("t", "ci", NOW, 5), "delivery_due"),
        (jobs._HEAD, ("r", "a", "k"), "delivery_order"),
        (sqlite._DUE, (), "delivery_due"),
        (rows.CLAIMED, ("t",), "delivery_running"),
        (jobs._START_ATTEMPTS, (NOW, "t"), "delivery_running"),
    ],
)
def test_the_busy_queries_walk_an_index(
    store: SqliteStore, path: Path, sql: str, bindings: tuple[object, ...], index: str
) -> None:
    connection = apsw.Connection(str(path))
    plan = [str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)]
    connection.close()

    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN") and "delivery" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan if sql is jobs._CLAIM), plan
