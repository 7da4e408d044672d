"""The fleet in a PostgreSQL database; see router.store.fleet."""

import math
import select
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import psycopg

from router.domain.errors import StoreError
from router.store.contract import PAGE
from router.store.fleet import Beat, FleetState, Limits, NodeFacts, OwnClaims, Released, Share, TakenOver
from router.store.postgres import shares
from router.store.postgres.clock import NOW
from router.store.postgres.connection import Connected, connect_or_explain
from router.store.postgres.faults import reason
from router.store.postgres.jobs.job import WriteJob
from router.store.postgres.jobs.take_over import RemoveNode, TakeOver
from router.store.postgres.nodes import read_nodes
from router.store.postgres.url import PostgresUrl

#: of notifications; their text is the id of the sending node, or empty for an operator's command
CHANNEL = "webhook_router"
FORGOTTEN_SECONDS = (
    30.0  #: between two searches for claims of forgotten nodes; a search walks through everything that ran lately
)
_WRITE_SECONDS = 30.0  #: limit of a write, which the writer's thread makes


class PostgresFleet:
    """Implements Fleet. Belongs to one thread."""

    def __init__(
        self, url: PostgresUrl, submit: Callable[[WriteJob], "Future[Any]"], claims_as: Callable[[int], None]
    ) -> None:
        """`submit` hands a job to the store's writer. `claims_as` makes it claim as a node from then on."""
        self._url = url
        self._submit = submit
        self._claims_as = claims_as
        self._connection: Connected | None = None
        self._told = False
        self._forgotten_at = 0.0  #: monotonic; the earliest time of the next search
        self._unknown: set[str] = set()  #: tokens that were unknown at the last check
        self.id = 0
        self._joined_at = 0  #: ms

    @property
    def listens(self) -> bool:
        """See Fleet.listens."""
        return self._connection is not None and not self._url.pgbouncer

    def join(self, facts: NodeFacts, rules: str, lease_ms: int) -> Beat:
        """See Fleet.join."""
        place = (facts.name, facts.host, facts.process, facts.version)
        values = (*place, list(facts.roles), list(facts.actions), rules, lease_ms)
        [(self.id, now, started)] = self._run(_JOIN, values)
        self._joined_at = now
        self._claims_as(self.id)
        return Beat(self.id, now, started)

    def renew(self, rules: str, lease_ms: int) -> Beat | None:
        """See Fleet.renew."""
        rows = self._run(_RENEW, (rules, lease_ms, self.id, self._joined_at))
        return Beat(self.id, *rows[0]) if rows else None

    def leave(self) -> None:
        """See Fleet.leave."""
        self._write(RemoveNode(self.id, leaves=True))

    def state(self) -> FleetState:
        """See Fleet.state."""
        connection = self._connected()
        try:
            now, nodes = read_nodes(connection)
            [(rules, changes)] = connection.execute(_STATE).fetchall()
            breakers: dict[str, str] = dict(connection.execute(_BREAKERS).fetchall())
        except psycopg.Error as error:
            raise self._failed(error) from None
        return FleetState(now, nodes, rules or "", changes, breakers)

    def take_over(self, uncounted_before: int) -> TakenOver:
        """See Fleet.take_over."""
        released: list[Released] = []
        lost: list[NodeFacts] = []
        for node, renewed_at, now in self._gone():
            ids = [id_ for (id_,) in self._run(_RUNNING, (node, PAGE))]
            if ids:
                released += self._write(TakeOver(node, ids, renewed_at >= uncounted_before, now))
            else:
                lost += self._write(RemoveNode(node))
                self._forgotten_at = 0.0  # it may have committed a claim in the meantime
        return TakenOver(tuple(released), tuple(lost))

    def _gone(self) -> list[tuple[Any, ...]]:
        found = self._run(_GONE, ())
        if not found and time.monotonic() >= self._forgotten_at:
            found = self._run(_FORGOTTEN, ())
            if not found:  # otherwise there may be more
                self._forgotten_at = time.monotonic() + FORGOTTEN_SECONDS
        return found

    def unknown(self, claims: OwnClaims) -> int:
        """See Fleet.unknown. An answer may be under way, so a token must be unknown twice."""
        rows = self._run(_RUNNING_TOKENS, (self.id, PAGE))
        known = claims.known_tokens()  # read after the rows, so that new claims are in neither
        before, self._unknown = self._unknown, {token for _, token, _ in rows} - known
        # This process may have been frozen between the commit and its answer, however often it has looked.
        lost = claims.disown(self._unknown & before)
        if not lost:
            return 0
        ids, now = [id_ for id_, token, _ in rows if token in lost], rows[0][2]
        return len(self._write(TakeOver(self.id, ids, counts=False, now=now, tokens=sorted(lost))))

    def leads(self, tasks: Sequence[str], lease_ms: int) -> frozenset[str]:
        """See Fleet.leads."""
        return frozenset(task for (task,) in self._run(_LEAD, (self.id, lease_ms, sorted(tasks))))

    def share(self, wanted: Mapping[str, tuple[Limits | None, int]]) -> Mapping[str, Share]:
        """See Fleet.share."""
        connection = self._connected()
        try:
            return shares.share(connection, self.id, wanted)
        except psycopg.Error as error:
            raise self._failed(error) from None

    def put_breaker(self, target: str, noted: str | None) -> None:
        """See Fleet.put_breaker."""
        self._run(_PUT_BREAKER, (target, noted))

    def activates(self, ruleset: str) -> bool:
        """See Fleet.activates."""
        return not self._run(_IS_OLDER, (ruleset, self.id, ruleset))

    def tell(self) -> None:
        """See Fleet.tell."""
        self._run("SELECT pg_notify(%s, %s)", (CHANNEL, str(self.id)))

    def wait(self, seconds: float, wake: int) -> bool:
        """See Fleet.wait. Behind a pooler no notification arrives, so this waits for the whole time."""
        waiting = select.poll()  # select.select takes no descriptor above 1023
        waiting.register(wake, select.POLLIN)
        if self._connection is not None:
            waiting.register(self._connection.fileno(), select.POLLIN)
        ready = dict(waiting.poll(max(0, math.ceil(seconds * 1000))))
        if self._connection is None or self._connection.fileno() not in ready:
            return False
        self._told = False
        self._run("SELECT 1", ())  # receives notifications that have arrived
        return self._told

    def close(self) -> None:
        """See Fleet.close."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        connection = self._connected()
        try:
            cursor = connection.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise self._failed(error) from None

    def _write(self, job: WriteJob) -> Any:
        try:
            return self._submit(job).result(_WRITE_SECONDS)
        except TimeoutError:
            raise StoreError(f"the store {self._url} does not answer") from None

    def _connected(self) -> Connected:
        if self._connection is None:
            connection = connect_or_explain(self._url)
            connection.add_notify_handler(self._notified)
            try:
                if not self._url.pgbouncer:
                    connection.execute(f"LISTEN {CHANNEL}".encode())
                    connection.execute("SET lock_timeout = '2s'")
            except psycopg.Error as error:
                connection.close()
                raise self._failed(error) from None
            self._connection = connection
            self._forgotten_at = 0.0  # the server may be another one, which knows other nodes
        return self._connection

    def _notified(self, notify: psycopg.Notify) -> None:
        self._told = self._told or notify.payload != str(self.id)

    def _failed(self, error: psycopg.Error) -> StoreError:
        self.close()
        return StoreError(f"the store {self._url} can't be reached: {reason(error)}")


_STARTED = "(extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint"

_JOIN = f"""
INSERT INTO webhook_router.node AS n
    (name, host, process, version, roles, actions, rules, started_at, renewed_at, expires_at)
SELECT %s, %s, %s, %s, %s, %s, %s, at.now, at.now, at.now + %s FROM (VALUES ({NOW})) AS at (now)
RETURNING id, renewed_at, {_STARTED}
"""  # noqa: S608 - a constant

# After a failover to a standby that had not received everything, another node may have this one's id.
_RENEW = f"""
UPDATE webhook_router.node SET rules = %s, renewed_at = at.now, expires_at = at.now + %s
FROM (VALUES ({NOW})) AS at (now) WHERE id = %s AND started_at = %s
RETURNING renewed_at, {_STARTED}
"""  # noqa: S608 - a constant

_STATE = """
SELECT (SELECT hash FROM webhook_router.ruleset WHERE retired_at IS NULL ORDER BY first_at DESC NULLS LAST LIMIT 1),
    (SELECT last_value + is_called::int FROM webhook_router.signal)
"""

_BREAKERS = "SELECT name, breaker FROM webhook_router.target WHERE breaker IS NOT NULL"

_GONE = f"""
SELECT id, renewed_at, {NOW} FROM webhook_router.node WHERE expires_at <= {NOW}
"""  # noqa: S608 - a constant

# Nodes that committed a claim after they were forgotten.
_FORGOTTEN = f"""
WITH RECURSIVE running (node) AS (
    SELECT min(node) FROM webhook_router.delivery WHERE state = 'running'
    UNION ALL
    SELECT (SELECT min(d.node) FROM webhook_router.delivery d WHERE d.state = 'running' AND d.node > running.node)
    FROM running WHERE running.node IS NOT NULL
)
SELECT node, 0, {NOW} FROM running
WHERE node IS NOT NULL AND NOT EXISTS (SELECT 1 FROM webhook_router.node n WHERE n.id = running.node)
"""  # noqa: S608 - a constant

_RUNNING = """
SELECT id FROM webhook_router.delivery WHERE state = 'running' AND node = %s ORDER BY seq LIMIT %s::int
"""

_RUNNING_TOKENS = f"""
SELECT id, token, {NOW} FROM webhook_router.delivery WHERE state = 'running' AND node = %s ORDER BY seq LIMIT %s::int
"""  # noqa: S608 - a constant

_LEAD = f"""
INSERT INTO webhook_router.leader AS l (task, node, expires_at)
SELECT wanted.task, %s, {NOW} + %s FROM unnest(%s::text[]) AS wanted (task)
ON CONFLICT (task) DO UPDATE SET node = excluded.node, expires_at = excluded.expires_at
WHERE l.node = excluded.node OR l.expires_at <= {NOW}
RETURNING task
"""  # noqa: S608 - a constant

_PUT_BREAKER = """
INSERT INTO webhook_router.target (name, breaker) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET breaker = excluded.breaker
"""

_IS_OLDER = f"""
SELECT 1 FROM webhook_router.ruleset mine, webhook_router.ruleset theirs
WHERE mine.hash = %s AND mine.first_at IS NOT NULL AND theirs.retired_at IS NULL
    AND EXISTS (
        SELECT 1 FROM webhook_router.node n
        WHERE n.rules = theirs.hash AND n.id <> %s AND n.expires_at > {NOW}
    )
    AND theirs.hash <> %s
"""  # noqa: S608 - a constant
