"""What the river of events asks of the writer: append, claim, settle, give back."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import apsw
import orjson

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Appended, Event
from router.domain.outcomes import Outcome, OutcomeKind
from router.store.sqlite import dedupe, last_claims
from router.store.sqlite.following import NEWEST_EVENT
from router.store.sqlite.job import DueNote
from router.store.sqlite.rows import DUE_NOW, claimed_row


@dataclass(slots=True)
class AppendEvent:
    """An event with its planned deliveries."""

    event: Event
    plan: Sequence[PlannedDelivery]
    ruleset: str
    window: int

    @property
    def weight(self) -> int:
        """About how many bytes wait with this job."""
        return len(self.event.body) + 1024 + 512 * len(self.plan)

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["AppendEvent"], due: DueNote) -> list[Appended]:
        """Write many at once: one statement for the events, one for the deliveries."""
        results = _drop_duplicates(connection, jobs)
        [(seq, last)] = connection.execute(_LAST).fetchall()
        seq = int(str(seq))
        events: list[tuple[Any, ...]] = []
        deliveries: list[tuple[Any, ...]] = []
        ordered: set[tuple[str, str, str]] = set()
        keys: list[tuple[str, str, str, int, int]] = []
        for job, result in zip(jobs, results, strict=True):
            if result.duplicate:
                continue
            seq += 1
            e = job.event
            headers = orjson.dumps(e.headers).decode()
            events.append(
                (seq, e.id, e.source, e.method, e.path, e.query, headers, e.body, e.ip, e.received_at, e.dedupe_key)
            )
            deliveries += planned_rows(seq, job.plan, job.ruleset, e.received_at, ordered)
            if job.plan and e.dedupe_key is not None and job.window > 0:
                keys.append((e.source, e.dedupe_key, e.id, e.received_at, e.received_at + job.window))
        _write(connection, _INSERT_EVENT, events)
        insert_planned(connection, deliveries, last, due)
        dedupe.bind(connection, keys)
        return results


_LAST = f"SELECT {NEWEST_EVENT}, coalesce((SELECT max(seq) FROM delivery), 0)"  # noqa: S608 - constants

_UNBLOCKED_SINCE = "SELECT target, min(next_attempt_at) FROM delivery WHERE seq > ? AND blocked = 0 GROUP BY target"


def planned_rows(
    event: int, plan: Sequence[PlannedDelivery], ruleset: str, at: int, ordered: set[tuple[str, str, str]]
) -> list[tuple[Any, ...]]:
    """The rows of one event's deliveries; `ordered` are the lanes that earlier rows of the same insert are in."""
    rows: list[tuple[Any, ...]] = []
    for d in plan:
        behind = 0
        if d.order_key is not None:
            lane = (d.rule, d.action, d.order_key)
            behind = int(lane in ordered)
            ordered.add(lane)
        rows.append((d.id, event, d.rule, d.action, d.type, d.target, d.order_key, ruleset, at, behind))
    return rows


def insert_planned(connection: apsw.Connection, rows: Sequence[tuple[Any, ...]], last: object, due: DueNote) -> None:
    """Insert rows of `planned_rows`, and tell what became due; `last` is the newest delivery's seq before that."""
    if not rows:
        return
    _write(connection, _INSERT_DELIVERY, rows)
    for target, at in connection.execute(_UNBLOCKED_SINCE, (last,)):
        due(str(target), int(str(at)))


_INSERT_EVENT = "INSERT INTO event SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL"

_INSERT_DELIVERY = """
INSERT INTO delivery
    (id, event, rule, action, type, target, order_key, ruleset, next_attempt_at, created_at, blocked)
SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column9,
    column10 OR column7 IS NOT NULL AND EXISTS (
        SELECT 1 FROM delivery
        WHERE rule = column3 AND action = column4 AND order_key = column7 AND state IN ('pending', 'running')
    )
FROM (VALUES {})
WHERE column1 IS NOT NULL
"""

_ROWS = 64  #: in one statement


def _write(connection: apsw.Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Write many rows by few statements: each step of one hands the interpreter to another thread and back.

    The sizes are powers of two, so that few texts fill the cache of statements; rows of NULLs fill them up, which every
    text passes over. Gives what the statements return.
    """
    start, returned = 0, []
    while start < len(rows):
        size = min(_ROWS, 1 << (len(rows) - start - 1).bit_length())
        piece = rows[start : start + size]
        values = [value for row in piece for value in row]
        values += [None] * (len(piece[0]) * (size - len(piece)))
        returned += connection.execute(_statement(sql, len(piece[0]), size), values).fetchall()
        start += size
    return returned


@lru_cache(maxsize=64)  # seven sizes of a handful of statements; the cache of prepared ones hashes each text once, too
def _statement(sql: str, columns: int, rows: int) -> str:
    return sql.format(", ".join(["(" + ", ".join("?" * columns) + ")"] * rows))


def _drop_duplicates(connection: apsw.Connection, jobs: Sequence[AppendEvent]) -> list[Appended]:
    """For each job its event's id, or that of the first event with its dedupe key, in this batch or before it."""
    keys = {
        (job.event.source, key): None for job in jobs if (key := job.event.dedupe_key) is not None and job.window > 0
    }
    firsts = dedupe.firsts(connection, list(keys))
    results: list[Appended] = []
    for job in jobs:
        event = job.event
        if event.dedupe_key is None or job.window <= 0:
            results.append(Appended(event.id))
            continue
        first = firsts.get((event.source, event.dedupe_key))
        if first is not None and first[1] > event.received_at - job.window:
            results.append(Appended(first[0], duplicate=True))
            continue
        if job.plan:  # an event that plans nothing doesn't bind its key
            firsts[event.source, event.dedupe_key] = (event.id, event.received_at)
        results.append(Appended(event.id))
    return results


@dataclass(slots=True)
class PutRuleset:
    """The text of the ruleset that is current from now on."""

    ruleset: RulesetText
    now: int
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["PutRuleset"], due: DueNote) -> list[None]:  # noqa: ARG003
        """Keep the texts; the same text from another folder takes its paths from there."""
        for job in jobs:
            connection.execute(
                "UPDATE ruleset SET retired_at = ? WHERE hash <> ? AND retired_at IS NULL", (job.now, job.ruleset.hash)
            )
            connection.execute(
                "INSERT INTO ruleset (hash, text, base_dir) VALUES (?, ?, ?)"
                " ON CONFLICT (hash) DO UPDATE SET base_dir = excluded.base_dir, retired_at = NULL",
                (job.ruleset.hash, job.ruleset.text, job.ruleset.base_dir),
            )
        return [None] * len(jobs)


@dataclass(slots=True)
class ClaimDue:
    """A claim of due deliveries."""

    wanted: Mapping[str, int]
    now: int
    paced: frozenset[str] = frozenset()
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["ClaimDue"], due: DueNote) -> list[list[Claim]]:  # noqa: ARG003
        """Claim for each."""
        return [cls._one(connection, job) for job in jobs]

    @staticmethod
    def _one(connection: apsw.Connection, job: "ClaimDue") -> list[Claim]:
        found = [
            row
            for target, count in job.wanted.items()
            if count > 0
            for row in connection.execute(DUE_NOW, (target, job.now, count)).fetchall()
        ]
        if not found:
            return []
        token = secrets.token_hex(16)  # one for the whole claim: with the delivery's id it is a proof for each
        claims = [claimed_row(row, token) for row in found]
        # By seq, not by a subquery, whose temporary tables cost more than all the rest; and nothing is read back.
        _write(connection, _CLAIM, [(claim.delivery.seq, token) for claim in claims])
        _write(connection, _START_ATTEMPTS, [(claim.delivery.seq, claim.attempt, job.now) for claim in claims])
        if job.paced:
            last_claims.note(connection, {claim.delivery.target for claim in claims} & job.paced, job.now)
        return sorted(claims, key=lambda claim: (claim.delivery.next_attempt_at, claim.delivery.seq))


_CLAIM = """
WITH due (seq, token) AS (VALUES {})
UPDATE delivery SET state = 'running', token = due.token
FROM due WHERE delivery.seq = due.seq AND delivery.state = 'pending'
"""

_START_ATTEMPTS = """
INSERT INTO attempt (delivery, number, started_at) SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL
"""


@dataclass(slots=True)
class Settle:
    """The end of an attempt."""

    settlement: Settlement
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Settle"], due: DueNote) -> list[bool]:
        """Settle many."""
        return _settle_apart(connection, [job.settlement for job in jobs], due)


@dataclass(slots=True)
class SettleAll:
    """The ends of several attempts."""

    settlements: Sequence[Settlement]
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["SettleAll"], due: DueNote) -> list[list[bool]]:
        """Settle those of all jobs together."""
        results = iter(_settle_apart(connection, [done for job in jobs for done in job.settlements], due))
        return [[next(results) for _ in job.settlements] for job in jobs]


def _settle_apart(connection: apsw.Connection, settlements: Sequence[Settlement], due: DueNote) -> list[bool]:
    """Settle many by two statements; two of one delivery, of which one token is no longer good, apart."""
    if len({done.delivery_id for done in settlements}) == len(settlements):
        return _settle(connection, settlements, due)
    return [result for done in settlements for result in _settle(connection, [done], due)]


def _settle(connection: apsw.Connection, settlements: Sequence[Settlement], due: DueNote) -> list[bool]:
    # The target was called: what it said may be cleaned, but never be a reason to refuse the settle.
    errors = [_storable(done.outcome.error) for done in settlements]
    rows = _write(
        connection,
        _SETTLE,
        [
            (
                *(done.delivery_id, done.token, done.state.value, done.next_attempt_at, _counts(done.outcome), error),
                done.ruleset,
            )
            for done, error in zip(settlements, errors, strict=True)
        ],
    )
    owned = {str(id_): rest for id_, *rest in rows}
    _write(
        connection,
        _END_ATTEMPTS,
        [
            (
                owned[done.delivery_id][0],
                done.finished_at,
                done.outcome.kind.value,
                done.outcome.status,
                error,
                _storable(done.outcome.excerpt),
            )
            for done, error in zip(settlements, errors, strict=True)
            if done.delivery_id in owned
        ],
    )
    for done in settlements:
        if done.delivery_id in owned:
            _, target, rule, action, order_key = owned[done.delivery_id]
            if done.state is State.PENDING:
                due(str(target), done.next_attempt_at)
            elif order_key is not None:
                for next_target, at in connection.execute(HEAD, (rule, action, order_key)):
                    due(str(next_target), int(str(at)))
    return [done.delivery_id in owned for done in settlements]


def _counts(outcome: Outcome) -> int:
    return int(outcome.kind is not OutcomeKind.INTERRUPTED)


def _storable(text: str) -> str:
    return text.encode(errors="replace").decode()  # a lone surrogate is no UTF-8


_SETTLE = """
WITH done (id, token, state, at, counted, error, ruleset) AS (VALUES {})
UPDATE delivery SET
    state = done.state,
    token = NULL,
    next_attempt_at = CASE WHEN done.state = 'pending' THEN done.at ELSE next_attempt_at END,
    attempts = attempts + done.counted,
    interruptions = CASE WHEN done.counted THEN 0 ELSE interruptions + 1 END,
    first_attempt_at = CASE WHEN done.counted AND first_attempt_at IS NULL
        THEN (SELECT started_at FROM attempt WHERE delivery = delivery.seq AND finished_at IS NULL)
        ELSE first_attempt_at END,
    error = done.error,
    ruleset = coalesce(done.ruleset, delivery.ruleset)
FROM done
WHERE delivery.id = done.id AND delivery.state = 'running' AND delivery.token = done.token
RETURNING delivery.id, seq, target, rule, action, order_key
"""

_END_ATTEMPTS = """
WITH done (delivery, finished_at, outcome, status, error, excerpt) AS (VALUES {})
UPDATE attempt SET
    finished_at = done.finished_at, outcome = done.outcome, status = done.status, error = done.error,
    excerpt = done.excerpt
FROM done
WHERE attempt.delivery = done.delivery AND attempt.finished_at IS NULL
"""

HEAD = """
SELECT target, next_attempt_at FROM delivery
WHERE rule = ? AND action = ? AND order_key = ? AND blocked = 0 AND state = 'pending'
    AND state IN ('pending', 'running') -- said again in the words of the index
ORDER BY coalesce(place, seq) LIMIT 1
"""


@dataclass(slots=True)
class GiveBack:
    """A claim that is not attempted: pending again, perhaps under another target."""

    claim: Claim
    target: str | None = field(default=None)
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["GiveBack"], due: DueNote) -> list[bool]:
        """Give each back."""
        return [cls._one(connection, job, due) for job in jobs]

    @staticmethod
    def _one(connection: apsw.Connection, job: "GiveBack", due: DueNote) -> bool:
        rows = connection.execute(
            "UPDATE delivery SET state = 'pending', token = NULL, target = coalesce(?, target)"
            " WHERE id = ? AND state = 'running' AND token = ? RETURNING seq, target, next_attempt_at",
            (job.target, job.claim.delivery.id, job.claim.token),
        ).fetchall()
        if not rows:
            return False
        seq, target, at = rows[0]
        connection.execute("DELETE FROM attempt WHERE delivery = ? AND finished_at IS NULL", (seq,))
        due(str(target), int(str(at)))
        return True


@dataclass(slots=True)
class Probe:
    """Whether a commit of some size works again: with room it writes that many bytes, without it removes them."""

    room: int
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Probe"], due: DueNote) -> list[None]:  # noqa: ARG003
        """Write or remove."""
        for job in jobs:
            dedupe.probe(connection, job.room)
        return [None] * len(jobs)
