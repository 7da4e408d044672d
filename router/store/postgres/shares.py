"""Divides the limits of targets among the nodes.

Each node that wants a target has a row. It takes at most its part of the slots and of the rate, and at most what others
have left. A node with too much gives it back when its attempts have ended. So the rows never add up to more than the
limit, and nothing is written while no node joins, leaves or changes a limit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from router.store.fleet import Limits, Share
from router.store.postgres.clock import NOW
from router.store.postgres.connection import Connected

WHOLE = 10_000  #: parts of a rate


@dataclass(frozen=True, slots=True)
class Row:
    """A node's part of one target's limits."""

    node: int
    slots: int
    parts: int
    lives: bool = True


@dataclass(slots=True)
class Division:
    """The division of one target."""

    limits: Limits
    rows: list[Row] = field(default_factory=list)  #: of all nodes

    def goal(self, node: int) -> tuple[Row, bool]:
        """What a node should use, and whether it tests an open breaker."""
        others = [row for row in self.rows if row.node != node]
        members = self._members(node)
        slots, parts = self._part(members, node)
        slots = max(0, min(slots, self.limits.concurrency - sum(row.slots for row in others)))
        parts = max(0, min(parts if slots else 0, WHOLE - sum(row.parts for row in others)))
        return Row(node, slots, parts), members[:1] == [node]

    def mine(self, node: int, held: int) -> Row:
        """What a node takes that may still use so many slots: those it can't give back yet, or another node would begin
        an attempt while this one does."""
        before, (goal, _) = next((row for row in self.rows if row.node == node), Row(node, 0, 0)), self.goal(node)
        kept = min(held, before.slots)
        return goal if kept <= goal.slots else Row(node, kept, max(goal.parts, before.parts))

    def share(self, node: int) -> Share:
        """What a node may use."""
        row, tests = self.goal(node)
        if self.limits.rate is None:
            return Share(row.slots, None, tests)
        # Another node may have given back slots and keep the whole rate. Slots without a rate would be of no use.
        return Share(row.slots if row.parts else 0, self.limits.rate * row.parts / WHOLE, tests)

    def _members(self, node: int) -> list[int]:
        """The nodes that get a part, the oldest first."""
        living = sorted({row.node for row in self.rows if row.lives} | {node})
        if not self.limits.alone:
            return living[: self.limits.concurrency]
        holding = [row.node for row in self.rows if row.lives and row.slots]
        return [min(holding, default=living[0])]

    def _part(self, members: list[int], node: int) -> tuple[int, int]:
        if node not in members:
            return 0, 0
        most, more = divmod(self.limits.concurrency, len(members))
        return most + (members.index(node) < more), WHOLE // len(members)


def share(connection: Connected, node: int, wanted: Mapping[str, tuple[Limits | None, int]]) -> dict[str, Share]:
    """See Fleet.share. Raises psycopg.Error."""
    names = sorted(wanted)
    found = _read(connection, names)
    changed = [name for name in names if _changes(found.get(name), node, *wanted[name])]
    if changed:
        with connection.transaction():
            connection.execute(_ADD, (changed,))
            connection.execute(_LOCK, (changed,))
            now = _read(connection, changed)
            for name in changed:
                now[name] = _write(connection, name, now[name], node, *wanted[name])
        found |= now
    return {name: found[name].share(node) for name in names}


def _changes(division: Division | None, node: int, limits: Limits | None, held: int) -> bool:
    if division is None or (limits is not None and division.limits != limits):
        return True
    return division.mine(node, held) not in division.rows


def _write(
    connection: Connected, name: str, division: Division, node: int, limits: Limits | None, held: int
) -> Division:
    if limits is not None and limits != division.limits:
        connection.execute(_SET, (limits.concurrency, limits.rate, limits.alone, name))
        division.limits = limits
    row = division.mine(node, held)
    connection.execute(_PUT, (name, node, row.slots, row.parts))
    division.rows = [*(other for other in division.rows if other.node != node), row]
    return division


def _read(connection: Connected, names: list[str]) -> dict[str, Division]:
    found = {
        name: Division(Limits(concurrency or 1, rate, alone))
        for name, concurrency, rate, alone in connection.execute(_TARGETS, (names,)).fetchall()
    }
    for name, row in _rows(connection.execute(_SHARES, (names,)).fetchall()):
        if name in found:
            found[name].rows.append(row)
    return found


def _rows(rows: Iterable[tuple[object, ...]]) -> Iterable[tuple[str, Row]]:
    for name, node, slots, parts, lives in rows:
        assert isinstance(node, int)
        assert isinstance(slots, int)
        assert isinstance(parts, int)
        yield str(name), Row(node, slots, parts, bool(lives))


_TARGETS = "SELECT name, concurrency, rate, alone FROM webhook_router.target WHERE name = ANY (%s)"
# A node that was frozen may write its row after others have taken over from it, and removed it with its rows.
_SHARES = f"""
SELECT s.target, s.node, s.slots, s.parts, n.expires_at > {NOW}
FROM webhook_router.share s JOIN webhook_router.node n ON n.id = s.node WHERE s.target = ANY (%s)
""".encode()  # noqa: S608 - a constant
_ADD = """
INSERT INTO webhook_router.target (name) SELECT name FROM unnest(%s::text[]) AS one (name) ORDER BY name
ON CONFLICT DO NOTHING
"""
_LOCK = "SELECT 1 FROM webhook_router.target WHERE name = ANY (%s) ORDER BY name FOR UPDATE"
_SET = "UPDATE webhook_router.target SET concurrency = %s, rate = %s, alone = %s WHERE name = %s"
_PUT = """
INSERT INTO webhook_router.share (target, node, slots, parts) VALUES (%s, %s, %s, %s)
ON CONFLICT (target, node) DO UPDATE SET slots = excluded.slots, parts = excluded.parts
"""
