"""The writer refuses writes when the disk is full, the database is locked or the queue is full, and recovers."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from router.domain.deliveries import PlannedDelivery, Settlement, State
from router.domain.errors import StoreUnavailable
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.store import write_queue
from router.store.sqlite import checkpoint, writer
from router.store.sqlite import connection as sqlite_connection
from router.store.sqlite.store import SqliteStore
from tests.conftest import until

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture
def store(sqlite_store: SqliteStore) -> SqliteStore:
    """Run these tests on SQLite only."""
    return sqlite_store


def test_writes_fail_while_the_disk_is_full_and_recover_without_a_restart(
    store: SqliteStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    connection = store._writer._connection  # a database limit stands for the full disk
    store.append(event(), [planned_delivery()], "r1").result(10)
    [claim] = store.claim({"ci": 1}, NOW).result(10)
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", pages)

    def fill() -> None:
        for _ in range(1000):
            store.append(event(body=b"x" * 10_000), [planned_delivery()], "r1").result(10)

    with pytest.raises(StoreUnavailable, match="can't commit"):
        fill()
    assert not store.writable()
    stored = len(store.events(limit=10_000))

    connection.pragma("max_page_count", 1_000_000_000)
    done = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
    assert store.settle([done]).result(10)[0]
    store.append(event(), [planned_delivery()], "r1").result(10)
    assert store.writable()
    assert len(store.events(limit=10_000)) == stored + 1
    assert len(store.deliveries(limit=10_000)) == stored + 1  # nothing is stored in part


def test_an_idle_store_notices_free_disk_space(
    store: SqliteStore, path: Path, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PROBE_SECONDS", 0.01)
    connection = store._writer._connection
    connection.pragma("max_page_count", connection.pragma("page_count"))
    with pytest.raises(StoreUnavailable):
        store.append(event(body=b"x" * 500_000), [], "r1").result(10)
    assert not store.writable()

    connection.pragma("max_page_count", 1_000_000_000)

    until(store.writable)
    store.close()
    with closing(apsw.Connection(str(path))) as left:
        assert left.execute("SELECT count(*) FROM dedupe").get == 0


def test_an_idle_store_notices_a_full_disk(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LOW_BYTES", 1 << 62)
    monkeypatch.setattr(writer, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(writer, "FULL_DISK_PROBE_SECONDS", 0.01)
    connection = store._writer._connection
    connection.pragma("max_page_count", connection.pragma("page_count"))

    until(lambda: not store.writable())

    connection.pragma("max_page_count", 1_000_000_000)
    until(store.writable)


def test_a_small_write_that_still_fits_does_not_make_a_full_store_writable(
    store: SqliteStore, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOW_BYTES", 1 << 62)
    monkeypatch.setattr(writer, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(writer, "FULL_DISK_PROBE_SECONDS", 0.01)
    connection = store._writer._connection
    connection.pragma("max_page_count", connection.pragma("page_count") + 10)
    until(lambda: not store.writable())

    for _ in range(10):
        store.append(event(), [], "r1").result(10)
        assert not store.writable()


def test_an_idle_store_notices_that_its_file_was_removed(store: SqliteStore, tmp_path: Path) -> None:
    path = store._writer._path
    path.rename(tmp_path / "away.db")

    until(lambda: not store.writable())

    (tmp_path / "away.db").rename(path)
    until(store.writable)


def test_a_hanging_commit_makes_the_store_unwritable(
    store: SqliteStore, path: Path, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "STALLED_SECONDS", 0.05)
    with _locked(path):
        hanging = store.append(event(), [], "r1")
        until(lambda: not store.writable() or hanging.done())
        assert not hanging.done()

    hanging.result(10)
    until(store.writable)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a long write by another process."""
    with closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_lock_of_another_process_makes_the_store_unavailable_until_released(
    path: Path, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "BUSY_MS", 50)
    with closing(SqliteStore(path)) as store:
        with _locked(path), pytest.raises(StoreUnavailable, match="locked"):
            store.append(event(), [], "r1").result(10)

        store.append(event(), [], "r1").result(10)

        assert store.writable()


def test_a_full_queue_refuses_only_appends(
    store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "MAX_WAITING_JOBS", 5)
    store.append(event(), [planned_delivery()], "r1").result(10)
    [claim] = store.claim({"ci": 1}, NOW).result(10)

    with _locked(path):
        appends = [store.append(event(), [planned_delivery()], "r1") for _ in range(600)]
        refused = [future for future in appends if future.done()]
        release = store.release(claim)

    assert len(refused) >= 600 - 512 - 5
    assert {str(future.exception(0)) for future in refused} == {"the store is too far behind to take more"}
    assert release.result(10)
    assert len(store.events(limit=1000)) == 1 + sum(future.exception(10) is None for future in appends)


def test_a_queued_call_that_is_cancelled_is_not_written(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    with _locked(path):
        futures = [store.append(event(), [], "r1") for _ in range(2000)]  # more than a transaction takes
        assert futures[-1].cancel()

    assert all(future.result(10) for future in futures[:-1])
    assert len(store.events(limit=3000)) == 1999


def test_an_open_reader_does_not_block_commits(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    store.append(event(), [], "r1").result(10)
    with closing(apsw.Connection(str(path))) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM event").get == 1

        for _ in range(5):
            store._writer._checkpointer._rest_of = True
            store.append(event(), [], "r1").result(sqlite_connection.BUSY_MS / 1000 / 2)


def test_the_wal_stays_small_under_constant_writes(
    path: Path, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LARGE_WAL_PAGES", 100)
    monkeypatch.setattr(checkpoint, "PAUSE_SECONDS", 0)
    with closing(SqliteStore(path)) as store:
        for _ in range(500):
            store.append(event(body=b"x" * 100_000), [], "r1").result(10)

        # 50 MB were written. The thread that runs checkpoints may be slow on a busy machine.
        assert path.with_name("store.db-wal").stat().st_size < 40_000_000
        assert path.stat().st_size > 10_000_000


def test_appends_beyond_the_queue_limit_are_refused_at_once(
    store: SqliteStore, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "MAX_WAITING_BYTES", 10_000)

    future = store.append(event(body=b"x" * 20_000), [], "r1")

    with pytest.raises(StoreUnavailable, match="too far behind"):
        future.result(0)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_commit_to_a_removed_or_replaced_file_fails(
    store: SqliteStore, event: MakeEvent, planned_delivery: MakePlan, tmp_path: Path, replaced: bool
) -> None:
    path = store._writer._path
    away = tmp_path / "away.db"
    store.append(event(), [planned_delivery()], "r1").result(10)
    path.rename(away)
    if replaced:
        path.write_bytes(away.read_bytes())

    with pytest.raises(StoreUnavailable, match="was removed or replaced; put it back, or restart the daemon"):
        store.append(event(), [planned_delivery()], "r1").result(10)
    assert not store.writable()

    away.rename(path)
    store.append(event(), [planned_delivery()], "r1").result(10)
    assert store.writable()
    assert len(store.events(limit=10)) == 2


def test_each_commit_is_reported_once(path: Path, event: MakeEvent) -> None:
    told: list[tuple[int, float]] = []
    with closing(SqliteStore(path, on_commit=lambda jobs, seconds: told.append((jobs, seconds)))) as store:
        with _locked(path):
            futures = [store.append(event(), [], "r1") for _ in range(20)]
        for future in futures:
            future.result(10)
        store.put_note("a", "b").result(10)

    assert sum(jobs for jobs, _ in told) == 21
    assert len(told) < 21
    assert all(0 < seconds < 60 for _, seconds in told)


def test_a_failed_transaction_is_not_reported(path: Path, event: MakeEvent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connection, "BUSY_MS", 50)
    told: list[int] = []
    with closing(SqliteStore(path, on_commit=lambda jobs, _: told.append(jobs))) as store:
        with _locked(path), pytest.raises(StoreUnavailable):
            store.append(event(), [], "r1").result(10)
        assert told == []
