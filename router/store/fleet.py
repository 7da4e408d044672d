"""What the nodes of one store agree on: who lives, whose work is taken over, the fleet's rules, shares of limits.

A store that one daemon owns alone has no fleet. Each call is one short transaction on a connection of its own, so that
a heartbeat does not wait behind events. One thread calls them; they raise StoreError while the database is away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from router.domain.deliveries import State

LEASE_SECONDS = 15.0  #: long enough for a short hang of database or network; a dead node's work waits for so long
ROLES = ("intake", "delivery")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node says of itself when it joins."""

    name: str
    host: str
    process: int
    version: str
    roles: tuple[str, ...]  #: some of ROLES
    actions: tuple[str, ...]  #: types that it delivers; empty: all


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as the store knows it."""

    id: int  #: another one after each start
    facts: NodeFacts
    rules: str  #: hash of the rules that it runs
    started_at: int  #: ms, like all times of the fleet on the database's clock
    renewed_at: int  #: ms
    expires_at: int  #: ms
    lives: bool  #: its lease has not ended


@dataclass(frozen=True, slots=True)
class Beat:
    """A lease that was begun or renewed."""

    id: int
    now: int  #: ms, of the database
    server_started_at: int  #: ms


@dataclass(frozen=True, slots=True)
class Share:
    """What one node may use of a target's limits."""

    slots: int  #: attempts at once
    rate: float | None  #: attempts started a second; None: no limit
    tests: bool  #: whether this node makes the attempts that test a target whose breaker is open


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a target, for all nodes together."""

    concurrency: int
    rate: float | None = None
    alone: bool = False  #: one node has all of it: such a low rate can't be divided


@dataclass(frozen=True, slots=True)
class FleetState:
    """The fleet at one moment."""

    now: int  #: ms
    nodes: tuple[NodeState, ...]
    rules: str  #: hash of the fleet's rules: those activated last
    changes: int  #: another number when an operator's command changed something
    breakers: Mapping[str, str]  #: by target: the JSON of a breaker that is not closed


@dataclass(frozen=True, slots=True)
class Released:
    """A delivery that was taken from a node that is gone."""

    event_id: str
    delivery_id: str
    rule: str
    action: str
    target: str
    attempt: int
    state: State  #: pending; dead: it was interrupted too often; skipped: a newer one of its latest_by value waits


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """The node and its fleet, for metrics."""

    alive: int  #: nodes that live, this one included, as last read
    lease_seconds: float
    lease_age: float  #: seconds since the lease was renewed
    listens: bool  #: see Fleet.listens
    taken_over: int  #: lost nodes that this one took over from


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What was taken from nodes that are gone."""

    released: Sequence[Released] = ()
    lost: Sequence[NodeFacts] = ()  #: nodes that are forgotten now, since nothing of theirs is left


class Fleet(Protocol):
    """The fleet, for one node."""

    @property
    def listens(self) -> bool:
        """Whether it is told at once what other nodes do, instead of looking for it."""
        ...

    def join(self, facts: NodeFacts, rules: str, lease_ms: int) -> Beat:
        """Become a node with a lease, and claim as this node from now on."""
        ...

    def renew(self, rules: str, lease_ms: int) -> Beat | None:
        """Renew the lease. None: others took everything over; join again."""
        ...

    def leave(self) -> None:
        """Give everything back. All attempts must have been settled."""
        ...

    def state(self) -> FleetState:
        """The fleet now."""
        ...

    def take_over(self, uncounted_before: int) -> TakenOver:
        """Make pending again what nodes whose lease has ended had running, a page at a time; none: nothing is left. A
        node of which nothing is left is forgotten, and gathered as a notice `node.lost`, once in the fleet.

        An interruption of a node that renewed last before `uncounted_before` (ms) does not count.
        """
        ...

    def unknown(self, tokens: Callable[[], set[str]]) -> int:
        """Release what this node has running by the store, with tokens that it does not know, since the answer to a
        claim was lost. Gives how many."""
        ...

    def leads(self, tasks: Sequence[str], lease_ms: int) -> frozenset[str]:
        """Which of these tasks of the fleet this node does, for so long."""
        ...

    def share(self, wanted: Mapping[str, tuple[Limits | None, int]]) -> Mapping[str, Share]:
        """What this node should use of targets. By target: its limits (None: those that others have set), and how many
        slots this node may still use there. It has those until it asks with fewer."""
        ...

    def put_breaker(self, target: str, noted: str | None) -> None:
        """Tell all nodes of a target's breaker; None: it is closed."""
        ...

    def activates(self, ruleset: str) -> bool:
        """Whether a start with these rules makes them the fleet's: not when they are older than those that live nodes
        run."""
        ...

    def tell(self) -> None:
        """Wake the other nodes: something is due."""
        ...

    def wait(self, seconds: float, wake: int) -> bool:
        """Wait until another node tells something (True), the descriptor `wake` can be read, or the time is over."""
        ...

    def close(self) -> None:
        """Close the connection; the next call makes another one."""
        ...
