"""Reads the store in a PostgreSQL database."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from router.domain.activity import Bucket, RecentMatches
from router.domain.deliveries import Attempt, Delivery, IncludedText, RulesetText
from router.domain.events import Event, Routing, StoredEvent
from router.domain.filters import EventFilter, Filter
from router.domain.holds import Holds
from router.domain.polls import PollState
from router.domain.stream import Arrival, EndedPage, Place, StreamPosition
from router.domain.summaries import Depth, EventHead
from router.store.contract import PAGE, StoreSize
from router.store.depths import depths_of
from router.store.fleet import NodeState
from router.store.json_columns import routing_of
from router.store.places import Part, first_id
from router.store.postgres import following
from router.store.postgres.activity import activity, recent_matches
from router.store.postgres.arrays import restored, stored
from router.store.postgres.filters import MANY, bounds, event_bounds, event_sets, event_where, page, where
from router.store.postgres.following import place_values
from router.store.postgres.jobs.holds import READ as READ_HOLDS
from router.store.postgres.jobs.holds import hold_row
from router.store.postgres.jobs.poll import KNOWN_ITEMS, READ_POLLS, poll_state
from router.store.postgres.nodes import READ_NODES, node_state
from router.store.postgres.read_connections import ReadConnections
from router.store.postgres.rows import (
    EVENT_COLUMNS,
    EVENT_HEADS,
    ROUTING_COLUMNS,
    SHOWN_COLUMNS,
    attempt_row,
    delivery_row,
    event_head_row,
    event_row,
    stored_event_row,
)
from router.store.postgres.search import few_deliveries, few_events, search_deliveries, search_events
from router.store.postgres.targets import DEPTHS
from router.store.postgres.url import PostgresUrl
from router.store.search_back import FoundBack


class PostgresReader:
    """Implements StoreReader. Any thread may read."""

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._connections = ReadConnections(url)
        self._identity = self._read_identity()

    @property
    def location(self) -> str:
        """See StoreReader.location."""
        return str(self._url)

    def size(self) -> StoreSize:
        """See StoreReader.size."""
        [(size,)] = self._read(_SIZE)
        return StoreSize(int(size), 0, None)  # a client can't ask how full the server's disk is

    def owner(self) -> int | None:
        """See StoreReader.owner."""
        return 0 if any(node.lives for node in self.nodes()) else None

    def nodes(self) -> tuple[NodeState, ...]:
        """See StoreReader.nodes."""
        return tuple(node_state(row) for row in self._read(READ_NODES))

    def is_replaced(self) -> bool:
        """See StoreReader.is_replaced."""
        return self._read_identity() != self._identity

    def event(self, event_id: str) -> Event | None:
        """See StoreReader.event."""
        rows = self._read(_EVENTS + " WHERE id = %s", (stored(event_id),))
        return event_row(rows[0]) if rows else None

    def events(self, *, limit: int = 100, before: str | None = None) -> list[Event]:
        """See StoreReader.events."""
        if before is None:
            rows = self._read(_EVENTS + " ORDER BY seq DESC LIMIT %s", (limit,))
        else:
            rows = self._read(_EVENTS + _OLDER, (before, limit))
        return [event_row(row) for row in rows]

    def event_heads(
        self,
        which: EventFilter = EventFilter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[EventHead]:
        """See StoreReader.event_heads."""
        sql, values = self._event_page(which, after, newest_first=newest_first, above=above)
        return [event_head_row(row) for row in self._read(EVENT_HEADS + sql, (*values, limit))]

    def stored_events(
        self,
        which: EventFilter = EventFilter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[StoredEvent]:
        """See StoreReader.stored_events."""
        sql, values = self._event_page(which, after, newest_first=newest_first, above=above)
        return [stored_event_row(row) for row in self._read(_STORED_EVENTS + sql, (*values, limit))]

    def routing(self, event_id: str) -> Routing | None:
        """See StoreReader.routing."""
        rows = self._read(_ROUTING, (stored(event_id),))
        return routing_of(*rows[0]) if rows else None

    def count_events(self, which: EventFilter, most: int | None = None) -> int:
        """See StoreReader.count_events."""
        few = None if most is None else few_events(self._read, which)
        condition, values = event_where(which) if few is None else few
        return self._count(f"webhook_router.event e WHERE {condition}", values, most)

    def delivery(self, delivery_id: str) -> Delivery | None:
        """See StoreReader.delivery."""
        rows = self._read(_DELIVERIES + " WHERE d.id = %s", (stored(delivery_id),))
        return delivery_row(rows[0]) if rows else None

    def deliveries(
        self,
        which: Filter = Filter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[Delivery]:
        """See StoreReader.deliveries."""
        sql, values = self._delivery_page(which, after, newest_first=newest_first, above=above)
        return [delivery_row(row) for row in self._read(_DELIVERIES + sql, (*values, limit))]

    def search_events(self, which: EventFilter, limit: int, after: int = 0) -> FoundBack[EventHead]:
        """See StoreReader.search_events."""
        found = search_events(self._read, EVENT_HEADS, which, limit, after)
        return FoundBack([event_head_row(row) for row in found.rows], found.searched_to)

    def search_deliveries(self, which: Filter, limit: int, after: int = 0) -> FoundBack[Delivery]:
        """See StoreReader.search_deliveries."""
        found = search_deliveries(self._read, _DELIVERIES, which, limit, after)
        return FoundBack([delivery_row(row) for row in found.rows], found.searched_to)

    def count(self, which: Filter, most: int | None = None) -> int:
        """See StoreReader.count."""
        few = None if most is None else few_deliveries(self._read, which)
        condition, values = where(which) if few is None else few
        needs_event = which.source is not None or which.event_id is not None
        event = "JOIN webhook_router.event e ON e.seq = d.event" if needs_event else ""
        return self._count(f"webhook_router.delivery d {event} WHERE {condition}", values, most)

    def newest(self, lines: int = 0) -> StreamPosition:
        """See StoreReader.newest."""
        ended = self._read(following.NEWEST_ENDED, (lines,))  # read first, so that later ends come after both
        events = self._read(following.NEWEST_EVENTS, (lines,))
        return StreamPosition(following.place_of(events), following.place_of(ended))

    def position_at(self, since: int) -> StreamPosition:
        """See StoreReader.position_at."""
        ended = self._read(following.ENDED_BEFORE, (since,))
        events = self._read(following.EVENTS_BEFORE, (first_id(since), since))
        return StreamPosition(following.place_of(events), following.place_of(ended))

    def arrivals(self, after: Place, limit: int = PAGE) -> list[Arrival]:
        """See StoreReader.arrivals."""
        return [following.arrival_row(row) for row in self._read(following.ARRIVALS, place_values(after, limit))]

    def ended(self, after: Place, limit: int = PAGE) -> EndedPage:
        """See StoreReader.ended."""
        return following.ended_page(self._read(following.ENDED, place_values(after, limit)), after, limit)

    def changes(self) -> int:
        """See StoreReader.changes."""
        return hash(self._read("SELECT pg_current_snapshot()::text")[0][0])

    def activity(self, bounds: Sequence[int]) -> list[Bucket]:
        """See StoreReader.activity."""
        return activity(self._read, bounds)

    def recent_matches(self, rules: Sequence[str]) -> RecentMatches:
        """See StoreReader.recent_matches."""
        return recent_matches(self._read, rules)

    def depths(self) -> list[Depth]:
        """See StoreReader.depths."""
        return depths_of(self._read(DEPTHS))

    def holds(self) -> Holds:
        """See StoreReader.holds."""
        return Holds(hold_row(row) for row in self._read(READ_HOLDS))

    def notes(self) -> dict[str, str]:
        """See StoreReader.notes."""
        return {name: restored(value) for name, value in self._read("SELECT name, value FROM webhook_router.note")}

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """See StoreReader.attempts."""
        return [attempt_row(row) for row in self._read(_ATTEMPTS, (stored(delivery_id),))]

    def ruleset(self, ruleset_hash: str) -> RulesetText | None:
        """See StoreReader.ruleset."""
        rows = self._read(_RULESET, (ruleset_hash,))
        if not rows:
            return None
        included = self._read(_INCLUDED, (ruleset_hash,))
        [(found, text, base_dir, first_at)] = rows
        texts = (IncludedText(*(restored(value) for value in row)) for row in included)
        return RulesetText(found, restored(text), base_dir, tuple(texts), first_at)

    def polls(self) -> list[PollState]:
        """See StoreReader.polls."""
        return sorted(map(poll_state, self._read(READ_POLLS)), key=lambda state: state.source)

    def poll_of(self, source: str) -> PollState | None:
        """See StoreReader.poll_of."""
        rows = self._read(f"{READ_POLLS} WHERE source = %s", (source,))
        return poll_state(rows[0]) if rows else None

    def known_items(self, series: str, ids: Sequence[str]) -> set[str]:
        """See StoreReader.known_items."""
        return {row[0] for row in self._read(KNOWN_ITEMS, (series, list(ids)))}

    def ids_from(self, kind: Literal["event", "delivery"], beginning: str, limit: int) -> list[str]:
        """See StoreReader.ids_from."""
        # An id has hexadecimal digits and dashes, which all sort before g.
        sql = f"SELECT id FROM webhook_router.{kind} WHERE id >= %s AND id < %s ORDER BY id DESC LIMIT %s"  # noqa: S608 - constants
        return [row[0] for row in self._read(sql, (stored(beginning), f"{stored(beginning)}g", limit))]

    def event_sources(self) -> list[str]:
        """See StoreReader.event_sources."""
        return sorted(restored(row[0]) for row in self._read(_SOURCES))

    def recent_names(self) -> list[tuple[str, str, str, str]]:
        """See StoreReader.recent_names."""
        return [(row[0], row[1], row[2], row[3]) for row in self._read(_RECENT_NAMES)]

    def waiting(self, rules: Iterable[str]) -> dict[str, int]:
        """See StoreReader.waiting."""
        found = self._read(_WAITING, ([stored(rule) for rule in rules],))
        return {restored(rule): count for rule, count in found if count}

    def _read_identity(self) -> str:
        return str(self._read("SELECT identity FROM webhook_router.meta")[0][0])

    def _count(self, rows: str, values: tuple[Any, ...], most: int | None) -> int:
        bound = () if most is None else (most,)
        limit = "" if most is None else " LIMIT %s"
        return int(self._read(f"SELECT count(*) FROM (SELECT 1 FROM {rows}{limit}) AS found", (*values, *bound))[0][0])  # noqa: S608

    def _event_page(self, which: EventFilter, after: int, *, newest_first: bool, above: int) -> Part:
        condition = event_where(which, many=self._are_many(which))
        return page(condition, "e", event_bounds(which), after, newest_first=newest_first, above=above)

    def _delivery_page(self, which: Filter, after: int, *, newest_first: bool, above: int) -> Part:
        condition = where(which, few_events=which.source is not None and self._has_few(which.source))
        return page(condition, "d", bounds(which), after, newest_first=newest_first, above=above)

    def _has_few(self, source: str) -> bool:
        """Whether a source has only few events."""
        counted = f"SELECT count(*) FROM (SELECT 1 FROM webhook_router.event WHERE source = %s LIMIT {MANY}) AS found"  # noqa: S608
        return int(self._read(counted, (stored(source),))[0][0]) < MANY

    def _are_many(self, which: EventFilter) -> bool:
        """Whether the filter's rule, states or `unmatched` select too many events to collect them."""
        found = 0
        for text, values in event_sets(which):
            counted = f"SELECT count(*) FROM ({text} LIMIT {MANY - found}) AS found"  # noqa: S608 - constants
            found += int(self._read(counted, values)[0][0])
            if found >= MANY:
                return True
        return False

    def _read(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self._connections.read(sql, values)


_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'webhook_router' AND c.relkind = 'r'
"""

#: Only of the newest rows: in a large store, reading all of them would take seconds.
# Goes from one source to the next by the index on sources.
_SOURCES = """
WITH RECURSIVE found (source) AS (
    (SELECT source FROM webhook_router.event ORDER BY source LIMIT 1)
    UNION ALL SELECT (
        SELECT e.source FROM webhook_router.event e WHERE e.source > found.source ORDER BY e.source LIMIT 1
    ) FROM found WHERE found.source IS NOT NULL
)
SELECT source FROM found WHERE source IS NOT NULL
"""
_RECENT_NAMES = """
SELECT DISTINCT e.source, d.rule, d.action, d.target
    FROM (SELECT event, rule, action, target FROM webhook_router.delivery ORDER BY seq DESC LIMIT 5000) d
    JOIN webhook_router.event e ON e.seq = d.event
UNION
SELECT DISTINCT source, '', '', ''
    FROM (SELECT source FROM webhook_router.event ORDER BY seq DESC LIMIT 5000) AS recent
"""
_ATTEMPTS = """
SELECT d.id, a.number, a.started_at, a.finished_at, a.outcome, a.status, a.error, a.excerpt, a.sent
FROM webhook_router.attempt a JOIN webhook_router.delivery d ON d.seq = a.delivery
WHERE d.id = %s ORDER BY a.number
"""
_RULESET = "SELECT hash, text, base_dir, first_at FROM webhook_router.ruleset WHERE hash = %s"
_INCLUDED = "SELECT pattern, name, text, base_dir FROM webhook_router.included WHERE ruleset = %s ORDER BY number"
_WAITING = """
SELECT wanted.rule, (
    SELECT count(*) FROM webhook_router.delivery d WHERE d.rule = wanted.rule AND d.state IN ('pending', 'running')
)
FROM unnest(%s::text[]) AS wanted (rule)
"""
_EVENTS = f"SELECT {EVENT_COLUMNS} FROM webhook_router.event e"  # noqa: S608 - constants
_STORED_EVENTS = f"SELECT e.seq, {EVENT_COLUMNS}, {ROUTING_COLUMNS} FROM webhook_router.event e"  # noqa: S608 - constants
_ROUTING = f"SELECT {ROUTING_COLUMNS} FROM webhook_router.event e WHERE id = %s"  # noqa: S608 - constants
_OLDER = " WHERE seq < (SELECT seq FROM webhook_router.event WHERE id = %s) ORDER BY seq DESC LIMIT %s"
_DELIVERIES = f"""
SELECT {SHOWN_COLUMNS} FROM webhook_router.delivery d JOIN webhook_router.event e ON e.seq = d.event
"""  # noqa: S608 - constants
