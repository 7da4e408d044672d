"""A large body is written in pieces, with other commits in between. A body is stored whole or not at all."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreUnavailable
from router.domain.events import Event
from router.domain.filters import EventFilter
from router.domain.outcomes import Outcome
from router.store import write_queue
from router.store.sqlite import claimed_bodies, large_bodies, pieces
from router.store.sqlite.connection import connect
from router.store.sqlite.store import SqliteStore
from tests.conftest import until

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces, so that a body of 100 kB has many."""
    monkeypatch.setattr(pieces, "LARGE_BYTES", 20_000)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 8_000)
    monkeypatch.setattr(large_bodies, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(large_bodies, "_FAILED_SECONDS", 0.02)


@pytest.fixture
def store(sqlite_store: SqliteStore) -> SqliteStore:
    """Run these tests on SQLite only."""
    return sqlite_store


BODY = bytes(range(256)) * 400  #: 13 pieces


def rows(path: Path, sql: str) -> int:
    """The number that a query returns."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        connection.set_busy_timeout(10_000)
        return int(str(connection.execute(sql).get))


def in_pieces(path: Path) -> int:
    """The number of pieces in the store."""
    return rows(path, "SELECT count(*) FROM piece")


def is_swept(path: Path) -> bool:
    """Whether no pieces without an event are left."""
    return rows(path, "SELECT (SELECT count(*) FROM piece) + (SELECT count(*) FROM unreferenced)") == 0


class Counted:
    """A store that notes the number of pieces after each of its commits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts = [0]
        self.store = SqliteStore(path, on_commit=lambda *_: self._counts.append(in_pieces(path)))

    def changes(self) -> list[int]:
        """By how many pieces each commit changed their number."""
        return [after - before for before, after in pairwise(self._counts)]


@pytest.fixture
def counted(path: Path) -> Iterator[Counted]:
    """An empty store."""
    counted = Counted(path)
    with closing(counted.store) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(60)
        yield counted


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock so that the writer can't commit."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(10_000)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_others_commit_while_a_large_body_is_written(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    order: list[str] = []
    with locked(path):
        for name in ("large", "small", "next"):
            body = BODY if name == "large" else b"{}"
            future = store.append(event(id=name, body=body), [], "r1")
            future.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
    until(lambda: len(order) == 3)

    assert order == ["small", "next", "large"]
    assert in_pieces(path) == 13
    assert rows(path, "SELECT length(body) FROM event WHERE id = 'large'") == 0
    assert rows(path, "SELECT count(*) FROM unreferenced") == 0


def test_no_commit_writes_more_than_one_piece(counted: Counted, event: MakeEvent) -> None:
    counted.store.append(event(body=BODY), [], "r1").result(10)

    assert [change for change in counted.changes() if change] == [1] * 13


def test_every_reader_gets_the_whole_body(
    store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    plan = [planned_delivery(), planned_delivery("other")]
    sent = event(id="018bcfe5-6800-7000-8000-000000000001", body=memoryview(BODY))
    store.append(sent, plan, "r1").result(10)
    stored = event(**{name: getattr(sent, name) for name in ("id", "headers")}, body=BODY)

    assert store.event(sent.id) == stored
    assert store.events() == [stored]
    assert [one.event for one in store.stored_events()] == [stored]
    assert [head.size for head in store.event_heads(EventFilter())] == [len(BODY)]
    assert [one.size for one in store.arrivals({})] == [len(BODY)]
    [claim] = store.claim({"ci": 1}, NOW).result(10)
    assert claim.event == stored
    assert store.release(claim).result(10)
    found = store.claim_one(plan[1].id, NOW).result(10)
    assert found is not None
    assert found.event == stored
    store.replay([plan[0].id], NOW).result(10)
    assert [again.event for again in store.claim({"ci": 9}, NOW).result(10)] == [stored]


def test_a_body_in_its_row_is_still_read(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    """Earlier versions stored bodies this way."""
    store.append(event(id="old", body=b"{}"), [], "r1").result(10)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE event SET body = ?", (BODY,))

    found = store.event("old")

    assert found is not None
    assert found.body == BODY


def test_a_duplicate_of_a_stored_event_is_not_written(
    counted: Counted, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    first = event(body=BODY, dedupe_key="k")
    copies = [first, event(body=BODY, dedupe_key="k")]

    appended = [counted.store.append(one, [planned_delivery()], "r1", dedupe_window=1000).result(10) for one in copies]

    assert [(one.event_id, one.duplicate) for one in appended] == [(first.id, False), (first.id, True)]
    assert sum(map(abs, counted.changes())) == 13


def test_duplicates_that_arrive_at_the_same_time_are_one_event(
    store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    with locked(path):
        large = [event(body=BODY, dedupe_key="k") for _ in range(3)]
        together = [store.append(one, [planned_delivery()], "r1", dedupe_window=1000) for one in large]
    results = [future.result(10) for future in together]

    assert [result.duplicate for result in results] == [False, True, True]
    assert {result.event_id for result in results} == {large[0].id}
    assert in_pieces(path) == 13


def test_a_body_whose_append_was_cancelled_is_not_stored(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    with locked(path):
        future = store.append(event(body=BODY), [], "r1")
        assert future.cancel()
    store.append(event(id="later"), [], "r1").result(10)

    assert [one.id for one in store.events()] == ["later"]
    until(lambda: is_swept(path))


def test_a_disk_that_fills_while_a_body_is_written_leaves_no_pieces(
    store: SqliteStore, path: Path, event: MakeEvent
) -> None:
    connection = store._writer._connection
    connection.pragma("max_page_count", connection.pragma("page_count") + 10)

    with pytest.raises(StoreUnavailable, match="can't commit"):
        store.append(event(body=BODY), [], "r1").result(10)

    assert store.events() == []
    until(lambda: is_swept(path))
    connection.pragma("max_page_count", 1_000_000)
    store.append(event(id="again", body=BODY), [], "r1").result(10)
    assert [(one.id, one.body) for one in store.events()] == [("again", BODY)]


def test_a_refused_event_leaves_no_pieces(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    store.append(event(id="same"), [], "r1").result(10)

    refused = store.append(event(id="same", body=BODY), [], "r1")

    assert refused.exception(10) is not None
    assert [one.body for one in store.events()] == [event().body]
    until(lambda: is_swept(path))


_KILLED = """
import os, signal, sys
from pathlib import Path

import apsw

from router.domain.deliveries import RulesetText
from router.domain.events import Event
from router.store.sqlite import pieces
from router.store.sqlite.store import SqliteStore

pieces.LARGE_BYTES, pieces.PIECE_BYTES = 20_000, 8_000


def committed(*_):
    count = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READONLY).execute("SELECT count(*) FROM piece").get
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)


store = SqliteStore(Path(sys.argv[1]), on_commit=committed)
store.put_ruleset(RulesetText("r1", "", "/"), 0).result()
for name in ("whole", "half"):
    store.append(Event(name, "s", "POST", "/", "", (), b"x" * 100_000, "", 1), [], "r1").result()
"""


@pytest.mark.parametrize("commits", [2, 13], ids=["between two pieces", "before its event's row"])
def test_a_killed_daemon_leaves_no_incomplete_body(path: Path, event: MakeEvent, commits: int) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path), str(13 + commits)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert in_pieces(path) == 13 + commits

    with closing(SqliteStore(path)) as store:
        assert [(one.id, one.body) for one in store.events()] == [("whole", b"x" * 100_000)]
        until(lambda: rows(path, "SELECT count(*) FROM unreferenced") == 0)
        assert in_pieces(path) == 13
        store.append(event(id="half", body=BODY), [], "r1").result(10)  # its sender sends it again
        assert {one.id: len(one.body) for one in store.events()} == {"whole": 100_000, "half": len(BODY)}
    assert not rows(path, "SELECT count(*) FROM pragma_integrity_check() WHERE integrity_check <> 'ok'")


def test_retention_also_removes_the_pieces(
    counted: Counted, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    store = counted.store
    store.append(event(id="old", body=BODY, received_at=1), [], "r1").result(10)
    store.append(event(id="kept", body=BODY, received_at=1), [planned_delivery()], "r1").result(10)

    assert store.prune(2, 2).result(10).events == 1

    assert [one.id for one in store.events()] == ["kept"]
    until(lambda: in_pieces(path) == 13 and rows(path, "SELECT count(*) FROM unreferenced") == 0)
    assert min(counted.changes()) >= -4  # in steps, so that other commits wait for a short time only
    [claim] = store.claim({"ci": 1}, NOW).result(10)
    assert claim.event.body == BODY
    done = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
    store.settle([done]).result(10)
    assert store.prune(2, 2).result(10).events == 1
    until(lambda: is_swept(path))


def test_a_reader_never_sees_an_incomplete_body(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    """Neither while the body is written nor while retention removes it."""
    seen: list[int] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.extend(len(one.body) for one in store.events())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            store.append(event(body=BODY, received_at=1), [], "r1").result(10)
            store.prune(2, 2).result(10)
    finally:
        ended.set()
        reader.join()

    assert set(seen) <= {len(BODY)}


def test_closing_the_store_writes_the_waiting_bodies(path: Path, sqlite_store: SqliteStore, event: MakeEvent) -> None:
    with locked(path):
        futures = [sqlite_store.append(event(body=BODY), [], "r1") for _ in range(3)]
        closing_thread = threading.Thread(target=sqlite_store.close)
        closing_thread.start()
    closing_thread.join(10)

    assert [future.done() and future.exception() for future in futures] == [None] * 3
    assert rows(path, "SELECT count(*) FROM event") == 3


def test_a_claim_says_of_a_damaged_body_why_it_can_not_be_read(
    store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for name in ("bad", "good"):
        store.append(event(id=name, body=BODY), [planned_delivery()], "r1").result(10)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DELETE FROM piece WHERE event = 'bad' AND number = 3")

    bad, good = store.claim({"ci": 9}, NOW).result(10)

    assert (good.event.body, good.unread) == (BODY, "")
    assert bad.event.body == b""
    assert bad.unread.startswith("the body of event bad is damaged: ")


def test_a_claim_retries_reading_a_body_after_a_failed_open(
    monkeypatch: pytest.MonkeyPatch, store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    monkeypatch.setattr(claimed_bodies, "_PAUSE_SECONDS", 0.01)

    def fails_twice(path: Path, *, readonly: bool) -> apsw.Connection:
        if failures:
            raise failures.pop()
        return connect(path, readonly=readonly)

    failures = [apsw.IOError("disk I/O error"), apsw.CantOpenError("unable to open database file")]
    monkeypatch.setattr(claimed_bodies, "connect", fails_twice)
    store.append(event(id="large", body=BODY), [planned_delivery()], "r1").result(10)

    (claim,) = store.claim({"ci": 9}, NOW).result(10)

    assert claim.event.body == BODY
    assert failures == []


def test_waiting_bodies_count_as_queued_bytes(
    store: SqliteStore, path: Path, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "MAX_WAITING_BYTES", 3 * len(BODY))
    with locked(path):
        futures = [store.append(event(body=BODY), [], "r1") for _ in range(9)]
        refused = sum(future.done() for future in futures)
    assert refused >= 9 - 3
    assert sum(future.exception(10) is None for future in futures) == 9 - refused
    store.append(event(body=BODY), [], "r1").result(10)
