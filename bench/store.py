"""A large store: what it weighs, and how long claims, listings, status, pruning and commits take in it.

The store is filled by SQL through its own schema (as the daemon would leave it, only faster): events with 300-byte
bodies and one delivery each, most of them succeeded, a fifth pending at many targets, some dead. Then each operation of
the daemon and of the commands is timed through SqliteStore, and commits with and without retention at work beside them.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apsw
from machine import describe

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from router.daemon.retention import Retention  # noqa: E402
from router.domain.deliveries import PlannedDelivery, State  # noqa: E402
from router.domain.events import Event  # noqa: E402
from router.domain.filters import Filter  # noqa: E402
from router.domain.ids import uuid7  # noqa: E402
from router.store.contract import PAGE  # noqa: E402
from router.store.sqlite.store import SqliteStore  # noqa: E402

BASE = 1_700_000_000_000  #: ms; the first event's time, the others a ms apart
TARGETS = 50
HEADERS = '[["Content-Type","application/json"],["X-GitHub-Event","push"],["User-Agent","bench"]]'

# An id as uuid7 makes it: the time in front, so that ids sort by it.
_ID = "printf('%08x-%04x-7%03x-8%03x-%012x', ({t}) >> 16, ({t}) & 65535, {n} & 4095, {k}, {n})"

FILL_EVENTS = f"""
WITH RECURSIVE n (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)
INSERT INTO event (seq, id, source, method, path, query, headers, body, ip, received_at, dedupe_key, ruleset, matched)
SELECT n, {_ID.format(t=f"{BASE} + n", n="n", k="0")}, 'github', 'POST', '/hooks/github', '',
    '{HEADERS}', CAST(substr(hex(randomblob(150)), 1, 300) AS BLOB), '192.0.2.1', {BASE} + n, NULL,
    printf('%064x', 7), '["rule-' || (n % 100) || '"]' FROM n
"""
FILL_DELIVERIES = f"""
WITH RECURSIVE n (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)
INSERT INTO delivery
    (seq, id, event, rule, action, type, target, ruleset, state, next_attempt_at, attempts, first_attempt_at,
    created_at)
SELECT n, {_ID.format(t=f"{BASE} + n", n="n", k="1")}, n, 'rule-' || (n % 100), 'forward', 'forward',
    'target-' || (n % {TARGETS}), printf('%064x', 7), CASE WHEN n % 5 = 0 THEN 'pending' WHEN n % 500 = 1 THEN 'dead'
    ELSE 'succeeded' END, {BASE} + n, n % 5 > 0, {BASE} + n, {BASE} + n FROM n
"""
FILL_ATTEMPTS = f"""
WITH RECURSIVE n (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)
INSERT INTO attempt (delivery, number, started_at, finished_at, outcome, status, error, excerpt)
SELECT n, 1, {BASE} + n, {BASE} + n + 9, CASE WHEN n % 500 = 1 THEN 'failed' ELSE 'succeeded' END,
    CASE WHEN n % 500 = 1 THEN 410 ELSE 200 END, '', 'ok' FROM n WHERE n % 5 > 0
"""
_PIECE = 50_000


def fill(path: Path, count: int) -> float:
    """Fill an empty store; seconds that it took."""
    SqliteStore(path).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000")
    begun = time.perf_counter()
    for first in range(1, count + 1, _PIECE):
        last = min(count, first + _PIECE - 1)
        with connection:
            for sql in (FILL_EVENTS, FILL_DELIVERIES, FILL_ATTEMPTS):
                connection.execute(sql, (first, last))
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()
    return time.perf_counter() - begun


def timed(name: str, work: Callable[[], Any], rounds: int = 20) -> None:
    """Time an operation: the median and the worst of some rounds."""
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        found.append((time.perf_counter() - begun) * 1000)
    print(f"{name:<58} {statistics.median(found):>9.2f} ms {max(found):>9.2f} ms", flush=True)


def appends(store: SqliteStore, seconds: float) -> list[float]:
    """Commit latencies, ms, of single events that follow each other."""
    found = []
    until = time.perf_counter() + seconds
    now = time.time_ns() // 1_000_000
    while time.perf_counter() < until:
        event = Event(uuid7(now), "github", "POST", "/hooks/github", "", (), b"x" * 300, "192.0.2.1", now)
        plan = [PlannedDelivery(uuid7(now), "later", "forward", "forward", "later")]
        begun = time.perf_counter()
        future: Future[Any] = store.append(event, plan, "0" * 64)
        future.result(30)
        found.append((time.perf_counter() - begun) * 1000)
    return sorted(found)


def prune_beside(store: SqliteStore, count: int, seconds: float) -> None:
    """The latency of commits, alone and beside retention that removes the oldest half."""
    alone = appends(store, seconds)
    retention = Retention(store, 0.0, 0.0, lambda: BASE + count // 2)
    import threading  # noqa: PLC0415

    removed: list[int] = []
    begun = time.perf_counter()
    thread = threading.Thread(target=lambda: removed.append(retention.sweep()), daemon=True)
    thread.start()
    beside = appends(store, seconds)
    retention.stop()  # which ends the sweep after the step that is under way
    retention._stopping.set()
    thread.join()
    rate = removed[0] / (time.perf_counter() - begun)

    def shown(found: list[float]) -> str:
        return f"p50 {found[len(found) // 2]:.2f} ms, p99 {found[int(len(found) * 0.99)]:.2f} ms"

    print(f"commit of one event, alone:                {shown(alone)}")
    print(f"commit of one event, beside retention:     {shown(beside)}   ({rate:,.0f} events removed a second)")


def main() -> None:
    """Fill and time."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=5_000_000)
    arguments.add_argument("--seconds", type=float, default=10.0, help="for each part of the commits' latency")
    arguments.add_argument("--folder", type=Path, default=None, help="where the store is made; the temporary folder")
    given = arguments.parse_args()
    count = given.events
    print(describe("apsw"))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "store.db"
        seconds = fill(path, count)
        size = path.stat().st_size
        print(f"{count:,} events with bodies of 300 bytes, filled in {seconds:.0f} s")
        print(f"size: {size / 2**20:,.0f} MiB, {size / count:,.0f} bytes an event\n")
        print(f"{'':<58} {'median':>12} {'worst':>12}")
        begun = time.perf_counter()
        store = SqliteStore(path)
        print(f"{'open':<58} {(time.perf_counter() - begun) * 1000:>9.2f} ms")
        now = BASE + 2 * count
        wanted = {f"target-{i * 5}": 16 for i in range(4)}
        timed("claim 16 at each of 4 targets, commit included", lambda: store.claim(wanted, now).result(30))
        timed("what is due, by target", store.due)
        timed("depths of every target (status)", store.depths, 5)
        timed("newest 50 deliveries", lambda: store.deliveries(limit=50, newest_first=True))
        dead = Filter(states=(State.DEAD,))
        timed("newest 50 dead", lambda: store.deliveries(dead, limit=50, newest_first=True))
        one = Filter(states=(State.DEAD,), rule="rule-1", since=BASE + count - count // 100)
        timed("dead of one rule in the last hundredth", lambda: store.deliveries(one, limit=50, newest_first=True))
        timed("count the dead", lambda: store.count(dead), 5)
        timed("newest 100 events", store.events)
        page = [d.id for d in store.deliveries(dead, limit=PAGE)]
        timed(f"replay {len(page)} dead (once)", lambda: store.replay(page, now).result(30), 1)
        page = [d.id for d in store.deliveries(Filter(states=(State.PENDING,)), limit=PAGE)]
        timed(f"cancel {len(page)} pending (once)", lambda: store.cancel(page, now).result(30), 1)
        print()
        prune_beside(store, count, given.seconds)
        store.close()


if __name__ == "__main__":
    main()
