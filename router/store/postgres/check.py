"""Checks a store: the invariants of events, deliveries and attempts."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from router.domain.errors import StoreError
from router.store.contract import Finding, Progress
from router.store.postgres.connection import Connected, connect_or_explain
from router.store.postgres.faults import reason
from router.store.postgres.url import PostgresUrl

SHOWN = 5  #: ids that a finding names; it gives the number of all

_ANEW = "webhook-router deliveries cancel ID, then … replay ID: it takes a new place in its order"
_RESTORE = "look at the server's log and disk, run pg_amcheck, and go back to the last backup if need be"
_NEXT_NODE = "stop its node: another one gives back what it has running when its lease is over"


@dataclass(frozen=True, slots=True)
class Invariant:
    """A condition that must hold, and the query for its violations. The column of a row names a violation."""

    name: str  #: the condition, in words
    sql: str
    cure: str


# Each is one query, so that it sees one state of the store, however busy the nodes are.
INVARIANTS = (
    Invariant(
        "every delivery has its event, every attempt its delivery",
        """
        SELECT d.id FROM webhook_router.delivery d
        WHERE NOT EXISTS (SELECT 1 FROM webhook_router.event e WHERE e.seq = d.event)
        UNION ALL
        SELECT 'attempt ' || a.number || ' of delivery ' || a.delivery FROM webhook_router.attempt a
        WHERE NOT EXISTS (SELECT 1 FROM webhook_router.delivery d WHERE d.seq = a.delivery)
        """,
        _RESTORE,
    ),
    Invariant(
        "a blocked delivery waits for an earlier one of its order",
        """
        SELECT id FROM webhook_router.delivery d
        WHERE blocked & 1 = 1 AND (state <> 'pending' OR lane IS NULL OR NOT EXISTS (
            SELECT 1 FROM webhook_router.delivery e
            WHERE e.lane = d.lane AND e.state IN ('pending', 'running')
                AND coalesce(e.place, e.seq) < coalesce(d.place, d.seq)
        ))
        """,
        _ANEW,
    ),
    Invariant(
        "of one order only the first is not blocked",
        """
        SELECT id FROM webhook_router.delivery d
        WHERE state IN ('pending', 'running') AND blocked & 1 = 0 AND lane IS NOT NULL AND EXISTS (
            SELECT 1 FROM webhook_router.delivery e
            WHERE e.lane = d.lane AND e.state IN ('pending', 'running')
                AND coalesce(e.place, e.seq) < coalesce(d.place, d.seq)
        )
        """,
        _ANEW,
    ),
    Invariant(
        "a delivery with an order key has its lane, and no other has one",
        "SELECT id FROM webhook_router.delivery WHERE (lane IS NULL) <> (order_key IS NULL)",
        _RESTORE,
    ),
    Invariant(
        "only pending deliveries are held",
        "SELECT id FROM webhook_router.delivery WHERE blocked >= 2 AND state <> 'pending'",
        "restart a node: it marks held deliveries again",
    ),
    Invariant(
        "a delivery has a claim's token and node exactly while it is running",
        """
        SELECT id FROM webhook_router.delivery
        WHERE (token IS NOT NULL) <> (state = 'running') OR (node IS NOT NULL) <> (state = 'running')
        """,
        f"{_NEXT_NODE}; else webhook-router deliveries cancel ID",
    ),
    Invariant(
        "a running delivery has one attempt under way",
        """
        SELECT id FROM webhook_router.delivery d
        WHERE state = 'running' AND (
            SELECT count(*) FROM webhook_router.attempt WHERE delivery = d.seq AND finished_at IS NULL
        ) <> 1
        """,
        _NEXT_NODE,
    ),
    Invariant(
        "no attempt is under way of a delivery that is not running",
        """
        SELECT DISTINCT d.id FROM webhook_router.attempt a JOIN webhook_router.delivery d ON d.seq = a.delivery
        WHERE a.finished_at IS NULL AND d.state <> 'running'
        """,
        "webhook-router deliveries replay ID, then … cancel ID: cancelling ends its attempts",
    ),
    Invariant(
        "a delivery that succeeded has an attempt that did",
        """
        SELECT id FROM webhook_router.delivery d
        WHERE state = 'succeeded' AND NOT EXISTS (
            SELECT 1 FROM webhook_router.attempt WHERE delivery = d.seq AND outcome = 'succeeded'
        )
        """,
        "ask its target; webhook-router deliveries replay ID --state succeeded delivers it again",
    ),
    Invariant(
        "the rules that planned a delivery are there",
        """
        SELECT id FROM webhook_router.delivery d
        WHERE state IN ('pending', 'running', 'dead') AND NOT EXISTS (
            SELECT 1 FROM webhook_router.ruleset WHERE hash = d.ruleset
        )
        """,
        "nothing while the current rules have its rule and action; else webhook-router events replay --reroute EVENT",
    ),
    Invariant(
        "no delivery's place lies beyond the next one's",
        """
        SELECT id FROM webhook_router.delivery
        WHERE greatest(seq, coalesce(place, seq)) > (SELECT last_value FROM webhook_router.delivery_seq_seq)
        """,
        _RESTORE,
    ),
)


def check(url: PostgresUrl, progress: Progress) -> Iterator[Finding]:
    """Check one invariant after the other. Returns a finding for each, broken or not. Raises StoreError."""
    connection = connect_or_explain(url)
    try:
        for number, invariant in enumerate(INVARIANTS, start=1):
            with connection.transaction():  # a setting of the session would reach other clients behind a pooler
                connection.execute("SET TRANSACTION READ ONLY")
                found = checked(connection, invariant)
            yield found
            progress(number, len(INVARIANTS))
    except psycopg.Error as error:
        raise StoreError(f"the store {url} can't be checked: {reason(error)}; {_RESTORE}") from None
    finally:
        connection.close()


def checked(connection: Connected, invariant: Invariant) -> Finding:
    """The finding of one invariant. Raises psycopg.Error."""
    sql = f"SELECT count(*) OVER (), found.* FROM ({invariant.sql}) AS found LIMIT {SHOWN}"  # noqa: S608 - constants
    rows = connection.execute(sql.encode()).fetchall()
    broken = rows[0][0] if rows else 0
    return Finding(invariant.name, broken, tuple(str(name) for _, name in rows), invariant.cure)
