"""Reads the store in one SQLite file."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson

from router.domain.activity import Bucket, RecentMatches
from router.domain.deliveries import Attempt, Delivery, IncludedText, RulesetText
from router.domain.errors import StoreError
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
from router.store.search_back import FoundBack
from router.store.sqlite import following
from router.store.sqlite.activity import activity, recent_matches
from router.store.sqlite.disk import file_identity, size_of
from router.store.sqlite.filters import MANY, bounds, event_bounds, event_sets, event_where, page, where
from router.store.sqlite.jobs.holds import READ as READ_HOLDS
from router.store.sqlite.jobs.holds import hold_row
from router.store.sqlite.jobs.poll import KNOWN_ITEMS, READ_POLLS, poll_state
from router.store.sqlite.owner_lock import owner_of
from router.store.sqlite.read_connections import ReadConnections
from router.store.sqlite.rows import (
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
from router.store.sqlite.search import few_deliveries, few_events, search_deliveries, search_events
from router.store.sqlite.targets import DEPTHS


class SqliteReader:
    """Implements StoreReader. Any thread may read, each on its own connection."""

    def __init__(self, path: Path) -> None:
        self._name = path  #: as given; it may be a symlink
        self._path = Path(os.path.realpath(path))  # symlinks to one file share its lock
        self._identity = file_identity(self._path)
        self._connections = ReadConnections(self._path)

    @property
    def location(self) -> str:
        """See StoreReader.location."""
        return str(self._path)

    def size(self) -> StoreSize:
        """See StoreReader.size."""
        try:
            return size_of(self._path)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StoreError(f"the size of the store {self._path} can't be read: {reason}") from None

    def nodes(self) -> tuple[NodeState, ...]:
        """See StoreReader.nodes."""
        return ()

    def owner(self) -> int | None:
        """See StoreReader.owner."""
        try:
            return owner_of(self._path)
        except OSError:  # another user's lock file; a command that writes has failed before this
            return None

    def is_replaced(self) -> bool:
        """See StoreReader.is_replaced."""
        return file_identity(self._name) != self._identity

    def event(self, event_id: str) -> Event | None:
        """See StoreReader.event."""
        rows = self._connections.read_events(_EVENTS + " WHERE id = ?", (event_id,))
        return event_row(rows[0]) if rows else None

    def events(self, *, limit: int = 100, before: str | None = None) -> list[Event]:
        """See StoreReader.events."""
        if before is None:
            rows = self._connections.read_events(_EVENTS + " ORDER BY seq DESC LIMIT ?", (limit,))
        else:
            rows = self._connections.read_events(_EVENTS + _OLDER, (before, limit))
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
        rows = self._connections.read_events(_STORED_EVENTS + sql, (*values, limit), 1)
        return [stored_event_row(row) for row in rows]

    def routing(self, event_id: str) -> Routing | None:
        """See StoreReader.routing."""
        rows = self._read(_ROUTING, (event_id,))
        return routing_of(*rows[0]) if rows else None

    def count_events(self, which: EventFilter, most: int | None = None) -> int:
        """See StoreReader.count_events."""
        few = None if most is None else few_events(self._read, which)
        condition, values = event_where(which) if few is None else few
        return self._count(f"event e WHERE {condition}", values, most)

    def delivery(self, delivery_id: str) -> Delivery | None:
        """See StoreReader.delivery."""
        rows = self._read(_DELIVERIES + " WHERE d.id = ?", (delivery_id,))
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
        event = "JOIN event e ON e.seq = d.event" if which.source is not None or which.event_id is not None else ""
        return self._count(f"delivery d {event} WHERE {condition}", values, most)

    def newest(self, lines: int = 0) -> StreamPosition:
        """See StoreReader.newest."""
        [(event, ended)] = self._read(following.NEWEST)
        return following.position(event - lines, ended - lines)

    def position_at(self, since: int) -> StreamPosition:
        """See StoreReader.position_at."""
        [(ended,)] = self._read(following.ENDED_BEFORE, (since,))  # read first, so that later ends come after both
        [(event,)] = self._read(following.EVENTS_BEFORE, (first_id(since), since))
        return following.position(event, ended)

    def arrivals(self, after: Place, limit: int = PAGE) -> list[Arrival]:
        """See StoreReader.arrivals."""
        return [following.arrival_row(row) for row in self._read(following.ARRIVALS, (following.seq_of(after), limit))]

    def ended(self, after: Place, limit: int = PAGE) -> EndedPage:
        """See StoreReader.ended."""
        return following.ended_page(self._read(following.ENDED, (following.seq_of(after), limit)), after, limit)

    def changes(self) -> int:
        """See StoreReader.changes."""
        return int(self._read("PRAGMA data_version")[0][0])

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
        return {str(name): str(value) for name, value in self._read("SELECT name, value FROM note")}

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """See StoreReader.attempts."""
        sql = (
            "SELECT d.id, a.number, a.started_at, a.finished_at, a.outcome, a.status, a.error, a.excerpt, a.sent"
            " FROM attempt a JOIN delivery d ON d.seq = a.delivery WHERE d.id = ? ORDER BY a.number"
        )
        return [attempt_row(row) for row in self._read(sql, (delivery_id,))]

    def ruleset(self, ruleset_hash: str) -> RulesetText | None:
        """See StoreReader.ruleset."""
        rows = self._read("SELECT hash, text, base_dir, first_at FROM ruleset WHERE hash = ?", (ruleset_hash,))
        if not rows:
            return None
        included = self._read(_INCLUDED, (ruleset_hash,))
        [(found, text, base_dir, first_at)] = rows
        return RulesetText(found, text, base_dir, tuple(IncludedText(*row) for row in included), first_at)

    def polls(self) -> list[PollState]:
        """See StoreReader.polls."""
        return sorted(map(poll_state, self._read(READ_POLLS)), key=lambda state: state.source)

    def poll_of(self, source: str) -> PollState | None:
        """See StoreReader.poll_of."""
        rows = self._read(f"{READ_POLLS} WHERE source = ?", (source,))
        return poll_state(rows[0]) if rows else None

    def known_items(self, series: str, ids: Sequence[str]) -> set[str]:
        """See StoreReader.known_items."""
        return {row[0] for row in self._read(KNOWN_ITEMS, (series, orjson.dumps(list(ids)).decode()))}

    def ids_from(self, kind: Literal["event", "delivery"], beginning: str, limit: int) -> list[str]:
        """See StoreReader.ids_from."""
        # An id has hexadecimal digits and dashes, which all sort before g.
        sql = f"SELECT id FROM {kind} WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
        return [row[0] for row in self._read(sql, (beginning, f"{beginning}g", limit))]

    def event_sources(self) -> list[str]:
        """See StoreReader.event_sources."""
        return [row[0] for row in self._read(_SOURCES)]

    def recent_names(self) -> list[tuple[str, str, str, str]]:
        """See StoreReader.recent_names."""
        return [(row[0], row[1], row[2], row[3]) for row in self._read(_RECENT_NAMES)]

    def waiting(self, rules: Iterable[str]) -> dict[str, int]:
        """See StoreReader.waiting."""
        counts = {}
        for rule in rules:
            sql = "SELECT count(*) FROM delivery WHERE rule = ? AND state IN ('pending', 'running')"
            count = int(self._read(sql, (rule,))[0][0])
            if count:
                counts[rule] = count
        return counts

    def _count(self, rows: str, values: tuple[Any, ...], most: int | None) -> int:
        bound = () if most is None else (most,)
        limit = "" if most is None else " LIMIT ?"
        return int(self._read(f"SELECT count(*) FROM (SELECT 1 FROM {rows}{limit}) AS found", (*values, *bound))[0][0])  # noqa: S608

    def _event_page(self, which: EventFilter, after: int, *, newest_first: bool, above: int) -> Part:
        condition = event_where(which, many=self._are_many(which))
        return page(condition, "e", event_bounds(which), after, newest_first=newest_first, above=above)

    def _delivery_page(self, which: Filter, after: int, *, newest_first: bool, above: int) -> Part:
        condition = where(which, few_events=which.source is not None and self._has_few(which.source))
        return page(condition, "d", bounds(which), after, newest_first=newest_first, above=above)

    def _has_few(self, source: str) -> bool:
        """Whether few events came from a source."""
        counted = f"SELECT count(*) FROM (SELECT 1 FROM event WHERE source = ? LIMIT {MANY}) AS found"  # noqa: S608
        return int(self._read(counted, (source,))[0][0]) < MANY

    def _are_many(self, which: EventFilter) -> bool:
        """Whether too many events match the rule, the states or `unmatched` to collect them."""
        found = 0
        for text, values in event_sets(which):
            counted = f"SELECT count(*) FROM ({text} LIMIT {MANY - found}) AS found"  # noqa: S608 - constants
            found += int(self._read(counted, values)[0][0])
            if found >= MANY:
                return True
        return False

    def _read(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self._connections.read(sql, bindings)


#: Only of the newest rows: in a large store, reading all of them would take seconds.
# Goes from one source to the next by the index on sources.
_SOURCES = """
WITH RECURSIVE found (source) AS (
    SELECT min(source) FROM event
    UNION ALL SELECT (SELECT min(source) FROM event WHERE source > found.source) FROM found WHERE source IS NOT NULL
)
SELECT source FROM found WHERE source IS NOT NULL
"""
_RECENT_NAMES = """
SELECT DISTINCT e.source, d.rule, d.action, d.target
    FROM (SELECT event, rule, action, target FROM delivery ORDER BY seq DESC LIMIT 5000) d
    JOIN event e ON e.seq = d.event
UNION
SELECT DISTINCT source, '', '', '' FROM (SELECT source FROM event ORDER BY seq DESC LIMIT 5000)
"""
_INCLUDED = "SELECT pattern, name, text, base_dir FROM included WHERE ruleset = ? ORDER BY number"
_EVENTS = f"SELECT {EVENT_COLUMNS} FROM event e"  # noqa: S608 - constants
_STORED_EVENTS = f"SELECT e.seq, {EVENT_COLUMNS}, {ROUTING_COLUMNS} FROM event e"  # noqa: S608 - constants
_ROUTING = f"SELECT {ROUTING_COLUMNS} FROM event e WHERE id = ?"  # noqa: S608 - constants
_OLDER = " WHERE seq < (SELECT seq FROM event WHERE id = ?) ORDER BY seq DESC LIMIT ?"
_DELIVERIES = f"SELECT {SHOWN_COLUMNS} FROM delivery d JOIN event e ON e.seq = d.event"  # noqa: S608 - constants
