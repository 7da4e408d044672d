"""The writer's statements find their rows by an index, whatever statistics the planner has of the tables."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest

from router.domain.deliveries import PlannedDelivery, Settlement, State
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.store.postgres import following, lanes
from router.store.postgres.arrays import register
from router.store.postgres.connection import Connected
from router.store.postgres.jobs.append import AppendEvent
from router.store.postgres.jobs.cancel import Cancel
from router.store.postgres.jobs.claim import ClaimDue
from router.store.postgres.jobs.claim_one import ClaimOne, Unreserve
from router.store.postgres.jobs.give_back import GiveBack
from router.store.postgres.jobs.job import WriteJob
from router.store.postgres.jobs.prune import Prune
from router.store.postgres.jobs.replay import Replay
from router.store.postgres.jobs.settle import Settle
from router.store.postgres.jobs.shorten_waits import ShortenWaits
from router.store.postgres.jobs.take_over import RemoveNode, TakeOver
from router.store.postgres.store import PostgresStore
from router.store.postgres.transaction import Rows, Transaction, settings
from router.store.postgres.url import parse_url

ROWS = 20_000
NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]

_FILL = f"""
INSERT INTO webhook_router.event
    (writer, id, source, method, path, query, headers, body, ip, received_at, ruleset, matched)
SELECT 1, 'old' || n, 's', 'POST', '/', '', '[]', '', '', {NOW}, 'r1', '[]' FROM generate_series(1, {ROWS}) AS n;
INSERT INTO webhook_router.delivery
    (id, event, rule, action, type, target, ruleset, state, next_attempt_at, created_at, token, node)
SELECT 'old' || e.seq, e.seq, 'r', 'a', 'forward', 'ci', 'r1',
    CASE WHEN e.seq % 2 = 0 THEN 'pending' ELSE 'running' END, {NOW}, {NOW},
    CASE WHEN e.seq % 2 = 1 THEN 't' END, CASE WHEN e.seq % 2 = 1 THEN 1 END
FROM webhook_router.event e WHERE e.id LIKE 'old%';
INSERT INTO webhook_router.attempt (delivery, number, started_at)
SELECT seq, 1, {NOW} FROM webhook_router.delivery WHERE id LIKE 'old%' AND state = 'running';
"""


class Explained(Transaction):
    """Explains statements without running them."""

    def __init__(self, connection: Connected) -> None:
        super().__init__(connection, 1, 1, None)
        super().run(settings(4, local=True))
        self.ways: dict[str, set[str]] = {}  #: by table: how the explained statements read it
        self.whole: set[str] = set()  #: indexes of deliveries that they read completely
        self._explained = connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Explain a statement and note how it reads its tables."""
        cursor = self._explained.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), values, binary=True)
        [(plan,)] = cursor.fetchall()
        self._walk(plan[0]["Plan"])
        return Rows(cursor)

    def _walk(self, node: dict[str, Any]) -> None:
        if "Relation Name" in node and node["Node Type"] != "ModifyTable":
            self.ways.setdefault(node["Relation Name"], set()).add(node.get("Index Name", node["Node Type"]))
        if node.get("Relation Name") == "delivery" and "Index Name" in node and "Index Cond" not in node:
            self.whole.add(node["Index Name"])
        for child in node.get("Plans", ()):
            self._walk(child)


@pytest.fixture
def connection(postgres_store_url: str) -> Iterator[Connected]:
    """A connection in a transaction that is rolled back."""
    with psycopg.connect(postgres_store_url) as connection:
        register(connection)
        yield connection
        connection.rollback()


def ways(connection: Connected, job: WriteJob) -> dict[str, set[str]]:
    """By table: how the statements of a job read it."""
    transaction = Explained(connection)
    lanes.lock(transaction, job.lanes, job.ids)
    type(job).send(transaction, [job])
    return transaction.ways


def settlement(delivery: str) -> Settlement:
    """The settlement of a successful attempt."""
    return Settlement(delivery, "t", Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)


@pytest.mark.parametrize("statistics", ["none", "of an empty table", "right"])
def test_claims_and_settlements_read_only_the_rows_that_they_change(connection: Connected, statistics: str) -> None:
    if statistics == "of an empty table":
        connection.execute("ANALYZE webhook_router.delivery, webhook_router.event, webhook_router.attempt")
    connection.execute(_FILL.encode())
    if statistics == "right":
        connection.execute("ANALYZE webhook_router.delivery, webhook_router.event, webhook_router.attempt")

    claimed = ways(connection, ClaimDue({"ci": 64, "other": 64}, NOW))
    settled = ways(connection, Settle([settlement(f"old{number}") for number in range(64)]))

    assert claimed["delivery"] == {"delivery_due", "delivery_pkey"}
    assert claimed["event"] == {"event_pkey"}
    assert settled["attempt"] == {"attempt_pkey"}
    assert {"delivery_id_key"} <= settled["delivery"]
    assert "Seq Scan" not in settled["delivery"]


_SMALL = ("node", "share")  #: tables with a row for each node, or for each node and target


def test_no_write_of_a_node_reads_a_whole_table(
    connection: Connected, event: MakeEvent, planned_delivery: MakePlan, postgres_store_url: str
) -> None:
    store = PostgresStore(parse_url(postgres_store_url))
    store.append(event(), [planned_delivery("now")], "r1").result(60)
    [claim] = store.claim({"now": 1}, NOW).result(60)
    store.close()
    connection.execute(_FILL.encode())
    connection.execute("ANALYZE webhook_router.delivery, webhook_router.event, webhook_router.attempt")
    jobs: list[WriteJob] = [
        AppendEvent(event(dedupe_key="k"), [planned_delivery(order_key="k"), planned_delivery()], "r1", 1000),
        Cancel(["old2"], NOW),
        Replay(["old2"], NOW),
        GiveBack(claim),
        ClaimOne("old2", NOW, frozenset({"ci"})),
        Unreserve("old2", NOW),
        Settle([settlement("old1"), settlement("old3")]),
        TakeOver(1, ["old1", "old3"], counts=True, now=NOW),
        RemoveNode(1),
        ShortenWaits(NOW - 1, ROWS // 2),
    ]
    for job in jobs:
        for table, found in ways(connection, job).items():
            assert "Seq Scan" not in found or table in _SMALL, (type(job).__name__, table)


# As in a queue without a backlog: most deliveries are settled, a few wait, and none runs during ANALYZE.
_SETTLED = _FILL.replace("'running'", "'succeeded'")


def test_no_statement_reads_all_of_a_partial_index(
    connection: Connected, event: MakeEvent, planned_delivery: MakePlan, postgres_store_url: str
) -> None:
    """While a transaction holds an old snapshot, the index keeps an entry of each delivery that waited or ran since."""
    store = PostgresStore(parse_url(postgres_store_url))
    store.append(event(), [planned_delivery("now")], "r1").result(60)
    [claim] = store.claim({"now": 1}, NOW).result(60)
    store.close()
    connection.execute(_SETTLED.encode())
    connection.execute("UPDATE webhook_router.delivery SET state = 'succeeded' WHERE state = 'running'")
    connection.execute("ANALYZE webhook_router.delivery, webhook_router.event, webhook_router.attempt")
    jobs: list[WriteJob] = [
        AppendEvent(event(dedupe_key="k"), [planned_delivery(order_key="k"), planned_delivery()], "r1", 1000),
        ClaimDue({"ci": 64, "other": 64}, NOW, frozenset({"ci"})),
        ClaimOne("old2", NOW, frozenset({"ci"})),
        Unreserve("old2", NOW),
        GiveBack(claim),
        Settle([settlement("old1")]),
        Settle([settlement(f"old{number}") for number in range(64)]),
        Cancel(["old2"], NOW),
        Replay(["old2"], NOW),
    ]

    for job in jobs:
        transaction = Explained(connection)
        lanes.lock(transaction, job.lanes, job.ids, job.groups)
        type(job).send(transaction, [job])
        assert transaction.whole == set(), type(job).__name__


def test_a_follower_reads_by_the_index_of_writers(connection: Connected) -> None:
    connection.execute(_FILL.encode())
    connection.execute("ANALYZE webhook_router.delivery, webhook_router.event")
    transaction = Explained(connection)
    connection.execute("SET enable_seqscan = on")

    transaction.run(following.ARRIVALS, following.place_values({1: ROWS - 5}, 10))

    assert "event_writer" in transaction.ways["event"]
    assert "Seq Scan" not in transaction.ways["event"]


def test_retention_of_one_source_reads_by_the_index_of_sources(connection: Connected) -> None:
    connection.execute(_FILL.encode())
    connection.execute(_FILL.replace("'old'", "'rare'").replace("'s'", "'t'").replace("old%", "rare%").encode())
    connection.execute("ANALYZE webhook_router.delivery, webhook_router.event, webhook_router.attempt")

    for after in (0, ROWS):
        found = ways(connection, Prune(NOW, NOW, after, "t"))
        assert found["event"] <= {"event_source_order", "event_pkey"}
        assert "event_source_order" in found["event"]
        assert "Seq Scan" not in found["delivery"]
