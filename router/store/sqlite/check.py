"""Checks a store: SQLite's own checks, and the invariants of events, deliveries and attempts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from router.domain.errors import StoreError
from router.store.contract import Finding, Progress
from router.store.sqlite.connection import connect
from router.store.sqlite.opening import check_existing

SHOWN = 5  #: ids that a finding names; it gives the number of all

_ANEW = "webhook-router deliveries cancel ID, then … replay ID: it takes a new place in its order"
_RESTORE = (
    "stop the daemon and go back to the last backup; without one, save what `sqlite3 STORE .recover` can read,"
    " and look at the disk"
)


@dataclass(frozen=True, slots=True)
class Invariant:
    """A condition that must hold, and the query for its violations. The first column of a row names a violation."""

    name: str  #: the condition, in words
    sql: str
    cure: str
    ok: str | None = None  #: the row that means that all is well; None: there are only rows of violations


# Each is one query, so that it sees one state of the store, however busy the daemon is.
INVARIANTS = (
    Invariant("the file is a sound database", "PRAGMA integrity_check", _RESTORE, ok="ok"),
    Invariant(
        "every delivery has its event, every attempt its delivery",
        "SELECT \"table\" || ' row ' || coalesce(rowid, '?') FROM pragma_foreign_key_check()",
        _RESTORE,
    ),
    Invariant(
        "a body in pieces is whole",
        """
        SELECT id FROM event e
        WHERE size IS NOT NULL AND size <> coalesce((SELECT sum(length(data)) FROM piece WHERE event = e.id), 0)
        """,
        _RESTORE,
    ),
    Invariant(
        "a blocked delivery waits for an earlier one of its order",
        """
        SELECT id FROM delivery d
        WHERE blocked & 1 AND (state <> 'pending' OR order_key IS NULL OR NOT EXISTS (
            SELECT 1 FROM delivery e
            WHERE e.rule = d.rule AND e.action = d.action AND e.order_key = d.order_key
                AND e.state IN ('pending', 'running') AND coalesce(e.place, e.seq) < coalesce(d.place, d.seq)
        ))
        """,
        _ANEW,
    ),
    Invariant(
        "of one order only the first is not blocked",
        """
        SELECT id FROM delivery d
        WHERE state IN ('pending', 'running') AND NOT blocked & 1 AND order_key IS NOT NULL AND EXISTS (
            SELECT 1 FROM delivery e
            WHERE e.rule = d.rule AND e.action = d.action AND e.order_key = d.order_key
                AND e.state IN ('pending', 'running') AND coalesce(e.place, e.seq) < coalesce(d.place, d.seq)
        )
        """,
        _ANEW,
    ),
    Invariant(
        "of one latest_by value one delivery at most is pending, and one running",
        """
        SELECT min(id) FROM delivery
        WHERE latest_key IS NOT NULL AND state IN ('pending', 'running')
        GROUP BY rule, action, latest_key, state HAVING count(*) > 1
        """,
        "webhook-router deliveries cancel ID for the older ones",
    ),
    Invariant(
        "a delivery waits for another one of its latest_by value exactly while that one is running",
        """
        SELECT id FROM delivery d
        WHERE (state = 'pending' AND latest_key IS NOT NULL OR blocked & 4) AND (blocked & 4 <> 0) <> EXISTS (
            SELECT 1 FROM delivery e
            WHERE e.rule = d.rule AND e.action = d.action AND e.latest_key = d.latest_key AND e.latest_key IS NOT NULL
                AND e.state IN ('pending', 'running') AND e.state = 'running'
        )
        """,
        _ANEW,
    ),
    Invariant(
        "a delivery names the one that stands for it exactly while it is skipped",
        "SELECT id FROM delivery WHERE (state = 'skipped') <> (skip_reason IS NOT NULL AND skipped_for IS NOT NULL)",
        "none is needed; webhook-router deliveries replay ID --state skipped delivers it",
    ),
    Invariant(
        "only pending deliveries are held",
        "SELECT id FROM delivery WHERE blocked & 2 AND state <> 'pending'",
        "restart the daemon: it marks held deliveries again",
    ),
    Invariant(
        "a delivery has a claim's token exactly while it is running",
        "SELECT id FROM delivery WHERE (token IS NOT NULL) <> (state = 'running')",
        "start the daemon again: a start gives back what is running; else webhook-router deliveries cancel ID",
    ),
    Invariant(
        "a running delivery has one attempt under way",
        """
        SELECT id FROM delivery d
        WHERE state = 'running'
            AND (SELECT count(*) FROM attempt WHERE delivery = d.seq AND finished_at IS NULL) <> 1
        """,
        "start the daemon again: a start gives back what is running",
    ),
    Invariant(
        "no attempt is under way of a delivery that is not running",
        """
        SELECT DISTINCT d.id FROM attempt a JOIN delivery d ON d.seq = a.delivery
        WHERE a.finished_at IS NULL AND d.state <> 'running'
        """,
        "webhook-router deliveries replay ID, then … cancel ID: cancelling ends its attempts",
    ),
    Invariant(
        "a delivery that succeeded has an attempt that did",
        """
        SELECT id FROM delivery d
        WHERE state = 'succeeded' AND NOT EXISTS (
            SELECT 1 FROM attempt WHERE delivery = d.seq AND outcome = 'succeeded'
        )
        """,
        "ask its target; webhook-router deliveries replay ID --state succeeded delivers it again",
    ),
    Invariant(
        "the rules that planned a delivery are there",
        """
        SELECT id FROM delivery d
        WHERE state IN ('pending', 'running', 'dead') AND NOT EXISTS (SELECT 1 FROM ruleset WHERE hash = d.ruleset)
        """,
        "nothing while the current rules have its rule and action; else webhook-router events replay --reroute EVENT",
    ),
    Invariant(
        "no delivery's place lies beyond the next one's",
        """
        SELECT id FROM delivery
        WHERE max(seq, coalesce(place, seq)) > (SELECT seq FROM sqlite_sequence WHERE name = 'delivery')
        """,
        _RESTORE,
    ),
)


def check(path: Path, progress: Progress = lambda *_: None) -> Iterator[Finding]:
    """Check one invariant after the other. Returns a finding for each, broken or not. Raises StoreError."""
    check_existing(path)
    try:
        connection = connect(path, readonly=True)
        try:
            for number, invariant in enumerate(INVARIANTS, start=1):
                yield _checked(connection, invariant)
                progress(number, len(INVARIANTS))
        finally:
            connection.close()
    except apsw.Error as error:
        raise StoreError(f"the store {path} can't be checked: {error}; {_RESTORE}") from None


def _checked(connection: apsw.Connection, invariant: Invariant) -> Finding:
    broken = 0
    examples: list[str] = []
    try:
        for row in connection.execute(invariant.sql):
            name = str(row[0])
            if name == invariant.ok:
                continue
            broken += 1
            if len(examples) < SHOWN:
                examples.append(name)
    except apsw.CorruptError as error:
        return Finding(invariant.name, max(1, broken), (str(error),), _RESTORE)
    return Finding(invariant.name, broken, tuple(examples), invariant.cure)
