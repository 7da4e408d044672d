"""What only the SQLite store has: recovery after crashes, triggers, connections of threads, and query plans."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from router.domain.deliveries import PlannedDelivery, State
from router.domain.errors import StoreError
from router.domain.events import Event
from router.domain.filters import EventFilter, Filter
from router.store.changes import Changes
from router.store.sqlite import filters, reader, recovery, rows, targets
from router.store.sqlite.connection import connect
from router.store.sqlite.jobs import (
    cancel,
    claim,
    dedupe,
    order,
    plan_again,
    planned,
    prune,
    replay,
    settle,
    shorten_waits,
)
from router.store.sqlite.jobs.claim import ClaimDue
from router.store.sqlite.store import SqliteStore

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture
def store(sqlite_store: SqliteStore) -> SqliteStore:
    """Run these tests on SQLite only."""
    return sqlite_store


def test_expired_dedupe_keys_are_pruned_on_append(
    store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for n in range(50):
        one = event(dedupe_key=f"k{n}", received_at=NOW + n * 1000)
        store.append(one, [planned_delivery()], "r1", dedupe_window=1500).result(10)

    with closing(apsw.Connection(str(path))) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM dedupe ORDER BY received_at")]
    assert keys == ["k48", "k49"]


def test_only_cancelling_the_first_of_an_order_unblocks_the_next(
    store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(4):
        store.append(event(), [planned_delivery(order_key="[1]")], "r1").result(10)
    first, second, third, fourth = (delivery.id for delivery in store.deliveries())

    with closing(apsw.Connection(str(path))) as operator:
        operator.execute("UPDATE delivery SET state = 'cancelled' WHERE id = ?", (second,))
        assert [d.id for d in store.deliveries(Filter(states=(State.PENDING,))) if not d.blocked] == [first]
        operator.execute("UPDATE delivery SET state = 'cancelled' WHERE id = ?", (first,))

    assert [d.id for d in store.deliveries(Filter(states=(State.PENDING,))) if not d.blocked] == [third]
    assert [c.delivery.id for c in store.claim({"ci": 9}, NOW).result(10)] == [third]
    assert store.deliveries()[-1].id == fourth


def test_a_threads_connection_closes_when_the_thread_ends(store: SqliteStore) -> None:
    for _ in range(20):
        thread = threading.Thread(target=store.due)
        thread.start()
        thread.join()

    assert len(store._connections._all) == 0


def test_closing_does_not_wait_for_a_long_query(store: SqliteStore, event: MakeEvent) -> None:
    started = threading.Event()
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    failures: list[StoreError] = []

    def read() -> None:
        store.due()  # this opens the thread's connection
        started.set()
        try:
            store._read(endless)
        except StoreError as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    started.wait(10)
    store.close()
    thread.join(10)

    assert [str(error).endswith("is closed") for error in failures] == [True]


_CRASHING = """
import sys
from pathlib import Path
import structlog
from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.events import Event
from router.store.sqlite.store import SqliteStore

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
store = SqliteStore(Path(sys.argv[1]))
store.put_ruleset(RulesetText("r1", "", "/"), 0).result()
for n in range(1_000_000):
    event = Event(f"{sys.argv[2]}-{n}", "s", "POST", "/", "", (), b"x" * 500, "", 1)
    plan = [PlannedDelivery(f"d-{sys.argv[2]}-{n}", "r", "a", "forward", "t")]
    future = store.append(event, plan, "r1")
    if n % 3 == 0:
        store.claim({"t": 1}, 2)
    print(future.result().event_id, flush=True)
"""


def test_acknowledged_events_survive_sigkill_with_their_deliveries(path: Path) -> None:
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
        assert process.returncode == -signal.SIGKILL

    store = SqliteStore(path)
    found = {event.id for event in store.events(limit=100_000)}
    deliveries = store.deliveries(limit=100_000)
    store.close()
    assert set(acknowledged) <= found
    assert {delivery.event_id for delivery in deliveries} == found
    assert {delivery.state for delivery in deliveries} <= {State.PENDING, State.DEAD}


def test_claims_of_a_dead_owner_are_released(
    store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    store.append(event(), [planned_delivery(order_key="[1]")], "r1").result(10)
    store.append(event(), [planned_delivery(order_key="[1]")], "r1").result(10)
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


_TRIGGER_SUBQUERY = """
    SELECT seq FROM delivery
    WHERE rule = ?1 AND action = ?2 AND order_key = ?3 AND state IN ('pending', 'running')
    ORDER BY coalesce(place, seq) LIMIT 1
"""  # EXPLAIN does not show the statements of triggers


@pytest.mark.parametrize(
    ("sql", "bindings", "index"),
    [
        (rows.DUE_NOW, ("ci", NOW, 5), "delivery_due"),
        (rows.DUE_NOW, ("ci", NOW, 5), "attempt USING PRIMARY KEY (delivery=?)"),
        (claim._CLAIM.format("(?, ?), (?, ?)"), (1, "t", 2, "t"), "delivery USING INTEGER PRIMARY KEY"),
        (order._FIRST, ("r", "a", "k"), "delivery_order"),
        (targets.DUE, (), "delivery_due"),
        (
            settle._SETTLE.format("(?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?)"),
            (None,) * 14,
            "delivery USING INDEX sqlite_auto",
        ),
        (settle._END_ATTEMPTS.format("(?, ?, ?, ?, ?, ?, ?)"), (None,) * 7, "attempt USING PRIMARY KEY (delivery=?)"),
        (shorten_waits._SHORTEN, (NOW, 0, 9), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (planned._UNBLOCKED_SINCE, (7,), "INTEGER PRIMARY KEY (rowid>?)"),
        (dedupe._firsts_sql(4), ("s", "k") * 4, "PRIMARY KEY (source=? AND key=?)"),
        (dedupe.PRUNE, (NOW, 10), "dedupe_expiry (expires_at<?)"),
        (recovery._RELEASE_RUNNING, (3, "x"), "delivery_running"),
        (_TRIGGER_SUBQUERY, ("r", "a", "k"), "delivery_order"),
        (replay._MAKE_DUE, (NOW, "d"), "sqlite_autoindex_delivery_1 (id=?)"),
        (replay._START_AGAIN, (NOW, "d"), "sqlite_autoindex_delivery_1 (id=?)"),
        (replay._START_AGAIN, (NOW, "d"), "delivery_order (rule=? AND action=? AND order_key=?)"),
        (replay._TAKE_PLACE, ("d",), "sqlite_autoindex_delivery_1 (id=?)"),
        (cancel._CANCEL, ("d",), "sqlite_autoindex_delivery_1 (id=?)"),
        (cancel._END_ATTEMPT, (NOW, 7), "PRIMARY KEY (delivery=?)"),
        (plan_again._EVENT, ("e",), "sqlite_autoindex_event_1 (id=?)"),
        (prune._WINDOW, (7, 10), "INTEGER PRIMARY KEY (rowid>?)"),
        (prune._GONE, (7, 1000, NOW, NOW, 10), "delivery_event (event=?)"),
        (prune._GONE, (7, 1000, NOW, NOW, 10), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ],
)
def test_frequent_queries_use_an_index(
    store: SqliteStore, path: Path, sql: str, bindings: tuple[object, ...], index: str
) -> None:
    connection = apsw.Connection(str(path))
    plan = [str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)]
    connection.close()

    assert any(index in step for step in plan), plan
    scans = [step for step in plan if re.match(r"SCAN (delivery|dedupe|attempt|event|[dea])\b", step)]
    # Recovery reads all running deliveries. No other query may scan a whole table or index.
    assert all("delivery_running" in step for step in scans if sql is recovery._RELEASE_RUNNING), plan
    assert sql is recovery._RELEASE_RUNNING or not scans, plan
    assert not any("TEMP B-TREE" in step for step in plan if sql is rows.DUE_NOW), plan


def test_claims_reuse_their_query_plan(store: SqliteStore, path: Path) -> None:
    asked: list[int] = []

    def allow(action: int, *_: str | None) -> int:
        asked.append(action)  # called for each part of a statement that SQLite plans
        return apsw.SQLITE_OK

    with closing(connect(path)) as connection:
        connection.set_authorizer(allow)
        connection.execute(rows.DUE_NOW, ("ci", NOW, 5)).fetchall()
        once = len(asked)
        connection.execute(rows.DUE_NOW, ("ci", NOW + 1, 5)).fetchall()

    assert len(asked) == once > 0


_WAITING = """
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200000)
INSERT INTO delivery
    (id, event, rule, action, type, target, ruleset, next_attempt_at, created_at, order_key, blocked)
SELECT 'd' || n, 1, 'r', 'a', 'forward', CASE WHEN n % 2000 THEN 'full' ELSE 'free' END, 'r1', n, n,
    CASE WHEN n % 10 = 3 THEN 'k' END, n % 10 = 3
FROM n
"""


def test_a_claim_does_not_scan_waiting_rows(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    store.append(event(), [], "r1").result(10)
    store.close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(_WAITING)
    steps = 0

    def counted() -> bool:
        nonlocal steps
        steps += 100
        return False

    connection.set_progress_handler(counted, 100)  # after each hundred instructions of SQLite's virtual machine

    [claims] = ClaimDue.run(connection, [ClaimDue({"free": 10}, NOW)], Changes())

    assert [claim.delivery.id for claim in claims] == [f"d{n * 2000}" for n in range(1, 11)]
    assert 0 < steps < 10_000
    steps = 0
    assert sorted(connection.execute(targets.DUE)) == [("free", 22_000), ("full", 1)]
    assert steps < 1000
    plan = [str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + rows.DUE_NOW, ("free", NOW, 5))]
    connection.close()
    assert any("USING INDEX delivery_due (target=? AND next_attempt_at<?)" in step for step in plan), plan


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (Filter(states=(State.DEAD,)), "delivery_dead (seq"),
        (Filter(states=(State.DEAD,), rule="r", since=NOW), "delivery_dead (seq"),
        (Filter(states=(State.PENDING,), rule="r"), "delivery_waiting (rule=? AND rowid"),
        (Filter(rule="r"), "delivery_rule (rule=? AND seq"),
        (Filter(event_id="e"), "delivery_event (event=? AND rowid"),
        (Filter(since=NOW), "sqlite_autoindex_delivery_1 (id>?)"),
        (Filter(source="s"), "INTEGER PRIMARY KEY (rowid"),
        (Filter(), "INTEGER PRIMARY KEY (rowid"),
    ],
)
def test_lists_of_deliveries_use_an_index_in_order(store: SqliteStore, path: Path, which: Filter, index: str) -> None:
    for newest_first, after in ((True, 0), (True, 7), (False, 7)):
        sql, values = filters.page(filters.where(which), "d", filters.bounds(which), after, newest_first=newest_first)
        plan = _plan(path, reader._DELIVERIES + sql, (*values, 10))
        if newest_first or which.since is None:
            assert any(index in step for step in plan), plan
        assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in plan), plan


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (EventFilter(), "INTEGER PRIMARY KEY"),
        (EventFilter(source="s"), "INDEX event_source (source=? AND rowid"),
        (EventFilter(since=NOW), "INTEGER PRIMARY KEY"),
    ],
)
def test_lists_of_events_use_an_index_in_order(store: SqliteStore, path: Path, which: EventFilter, index: str) -> None:
    sql, values = filters.page(filters.event_where(which), "e", filters.event_bounds(which), 0, newest_first=True)

    plan = _plan(path, rows.EVENT_HEADS + sql, (*values, 10))

    assert any(f"SEARCH e USING {index}" in step for step in plan), plan
    assert any("delivery_event (event=?)" in step for step in plan), plan
    assert not any(step.startswith("SCAN e") for step in plan), plan


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (Filter(states=(State.DEAD,)), "COVERING INDEX delivery_dead"),
        (Filter(states=(State.PENDING,), rule="r"), "delivery_waiting (rule=?)"),
        (Filter(states=(State.PENDING, State.RUNNING)), "INDEX delivery_waiting"),
        (Filter(since=NOW), "sqlite_autoindex_delivery_1 (id>?)"),
        (Filter(event_id="e"), "delivery_event (event=?)"),
    ],
)
def test_counts_use_an_index(store: SqliteStore, path: Path, which: Filter, index: str) -> None:
    condition, values = filters.where(which)
    event = "JOIN event e ON e.seq = d.event" if which.event_id else ""

    plan = _plan(path, f"SELECT count(*) FROM delivery d {event} WHERE {condition}", values)

    assert any(index in step for step in plan), plan


def test_depths_read_indexes_only(store: SqliteStore, path: Path) -> None:
    plan = _plan(path, targets.DEPTHS, ())

    # The concurrency of targets limits the running deliveries, so that their rows may be read.
    scans = [step for step in plan if step.startswith("SCAN") and "delivery_running" not in step]
    assert len(scans) == 4
    assert all("COVERING INDEX" in step for step in scans), plan


def _plan(path: Path, sql: str, bindings: tuple[object, ...]) -> list[str]:
    with closing(apsw.Connection(str(path))) as connection:
        return [str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)]


def test_retention_of_one_source_reads_by_the_index_of_sources(store: SqliteStore, path: Path) -> None:
    window = _plan(path, prune._WINDOW_OF_SOURCE, ("s", 0, 9))
    gone = _plan(path, prune._GONE_OF_SOURCE, (0, 9, NOW, NOW, 9, "s"))

    assert window == ["SEARCH event USING INDEX event_source (source=? AND rowid>?)"]
    assert "SEARCH e USING INDEX event_source (source=? AND rowid>? AND rowid<?)" in gone
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in (*window, *gone))


def test_queries_stay_fast_with_many_deliveries(store: SqliteStore, path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection, connection:
        connection.execute(_MANY)
    dead = Filter(states=(State.DEAD,))
    far = NOW + 99_000
    steps = {
        "claimable": _steps(store, store.due),
        "dead, newest": _steps(store, lambda: store.deliveries(dead, limit=50, newest_first=True)),
        "of a rule that waits": _steps(
            store, lambda: store.deliveries(Filter(states=(State.PENDING,), rule="rare"), limit=50)
        ),
        "of an event": _steps(store, lambda: store.deliveries(Filter(event_id="e-7"))),
        "lately, by a rule without any": _steps(
            store, lambda: store.deliveries(Filter(since=far, rule="none"), limit=50, newest_first=True)
        ),
        "events lately": _steps(store, lambda: store.event_heads(EventFilter(since=far), newest_first=True)),
    }
    assert store.count(dead) == 1000
    assert len(store.deliveries(dead, limit=3000)) == 1000
    assert store.depths()[0].due == 99_000

    # A scan of 100,000 rows takes more than half a million steps; an indexed query takes a few thousand.
    assert {name: count for name, count in steps.items() if count > 100} == {}


_MANY = """
INSERT INTO event (id, source, method, path, query, headers, body, ip, received_at)
SELECT format('%08x-%04x-7000-8000-%012x', (1700000000000 + value) >> 16, (1700000000000 + value) & 65535, value),
    's', 'POST', '/', '', '[]', x'00', '', 1700000000000 + value
FROM (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 100000) SELECT value FROM n);
INSERT INTO delivery (id, event, rule, action, type, target, ruleset, next_attempt_at, created_at, state)
SELECT id, seq, iif(seq % 25000 = 7, 'rare', 'r'), 'a', 'forward', 'ci', 'r1', received_at, received_at,
    iif(seq % 100 = 0, 'dead', 'pending')
FROM event;
UPDATE event SET id = 'e-7' WHERE seq = 7;
"""


def _steps(store: SqliteStore, ask: Callable[[], object]) -> int:
    """The number of instructions of SQLite's virtual machine that a query takes, in thousands."""
    count = 0

    def step() -> bool:
        nonlocal count
        count += 1
        return False

    ask()  # this opens the thread's connection
    connection = store._connections._own().connection
    connection.set_progress_handler(step, 1000)
    try:
        ask()
    finally:
        connection.set_progress_handler(None)
    return count
