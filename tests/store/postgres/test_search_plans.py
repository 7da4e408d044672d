"""Lists of events and deliveries find their rows by an index, whatever statistics the planner has."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import psycopg
import pytest

from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter
from router.store import search_back
from router.store.postgres import search
from router.store.postgres.arrays import register
from router.store.postgres.connection import Connected
from router.store.postgres.rows import EVENT_HEADS
from router.store.postgres.targets import DEPTHS

ROWS = 20_000
NOW = 1_700_000_000_000

_FILL = f"""
INSERT INTO webhook_router.event
    (seq, writer, id, source, method, path, query, headers, body, ip, received_at, ruleset, matched)
SELECT n, 1, lpad(to_hex({NOW} + n), 12, '0') || n, CASE WHEN n % 2 = 0 THEN 'many' ELSE 's' || n % 500 END,
    'POST', '/', '', '[]', '', '', {NOW} + n, 'r1', '[]' FROM generate_series(1, {ROWS}) AS n;
INSERT INTO webhook_router.delivery
    (seq, id, event, rule, action, type, target, ruleset, state, next_attempt_at, created_at)
SELECT n, lpad(to_hex({NOW} + n), 12, '0') || n, n, CASE WHEN n % 2 = 0 THEN 'many' ELSE 'r' || n % 500 END,
    'a', 'forward', 't' || n % 50, 'r1', CASE WHEN n % 10 = 0 THEN 'dead' WHEN n % 10 = 1 THEN 'pending'
    ELSE 'succeeded' END, {NOW}, {NOW} + n FROM generate_series(1, {ROWS}) AS n;
"""
EVENT_FILTERS = [
    EventFilter(source=source, rule=rule, states=states, unmatched=unmatched, until=until)
    for source, rule, (states, unmatched), until in product(
        (None, "many", "s7"),
        (None, "many", "r7"),
        [((), False), ((State.DEAD,), False), ((State.PENDING, State.DEAD), False), ((), True)],
        (None,),
    )
]
FILTERS = [
    Filter(source=source, rule=rule, states=states, target=target)
    for source, rule, states, target in product(
        (None, "many", "s7"), (None, "many", "r7"), ((), (State.DEAD,), (State.PENDING,)), (None, "t7")
    )
]


@pytest.fixture
def connection(postgres_store_url: str) -> Iterator[Connected]:
    """A connection in a transaction that is rolled back."""
    with psycopg.connect(postgres_store_url, prepare_threshold=None) as connection:
        register(connection)
        yield connection
        connection.rollback()


@pytest.mark.parametrize("statistics", ["of an empty table", "right"])
def test_no_list_reads_a_whole_table(connection: Connected, statistics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECONDS", "EMPTY_SECONDS"):  # one step of each is enough
        monkeypatch.setattr(search_back, name, -1.0)
    analyze = b"ANALYZE webhook_router.delivery, webhook_router.event, webhook_router.matched_alone"
    if statistics == "of an empty table":
        connection.execute(analyze)
    connection.execute(_FILL.encode())
    if statistics == "right":
        connection.execute(analyze)
    scanned: list[tuple[object, str]] = []
    asked: object = None

    def read(sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if sql.startswith("SELECT count(*)"):  # it counts a few rows, so any plan is good
            return connection.execute(sql.encode(), values).fetchall()
        cursor = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), values)
        [(plan,)] = cursor.fetchall()
        scanned.extend((asked, table) for table in _scanned(plan[0]["Plan"]))
        return [] if "LIMIT" in sql else connection.execute(sql.encode(), values).fetchall()

    rows = "SELECT d.seq FROM webhook_router.delivery d"
    for which in EVENT_FILTERS:
        asked = which
        search.search_events(read, EVENT_HEADS, which, 51, 0)
    for chosen in FILTERS:
        asked = chosen
        search.search_deliveries(read, rows, chosen, 51, 0)

    assert scanned == []


def _scanned(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in ("event", "delivery", "attempt"):
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _scanned(child)


def test_waiting_deliveries_are_counted_by_their_partial_indexes(connection: Connected) -> None:
    connection.execute(_FILL.encode())
    connection.execute(b"ANALYZE webhook_router.delivery")
    connection.execute(b"SET LOCAL enable_seqscan = off")  # in such a small table, reading everything costs the same

    [(plan,)] = connection.execute(f"EXPLAIN (FORMAT JSON) {DEPTHS}".encode()).fetchall()

    assert list(_scanned(plan[0]["Plan"])) == []
    partial = connection.execute(
        b"SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"
    ).fetchall()
    names = {name.removeprefix("webhook_router.") for (name,) in partial}
    assert set(_walked(plan[0]["Plan"])) <= names


def _walked(node: dict[str, Any]) -> Iterator[str]:
    """The indexes that are read completely."""
    if "Index Name" in node and "Index Cond" not in node:
        yield node["Index Name"]
    for child in node.get("Plans", ()):
        yield from _walked(child)
