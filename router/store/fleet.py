"""What the nodes of one store agree on: who lives, whose work is taken over, the fleet's rules, shares of limits.

A store that one daemon owns alone has no fleet. Each call is one short transaction on a connection of its own, so that
a heartbeat never waits behind events. One thread makes all calls. They raise StoreError while the database is away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from router.domain.deliveries import State

LEASE_SECONDS = 15.0  #: long enough for a short hang of database or network; the work of a dead node waits this long
ROLES = ("intake", "delivery")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node reports about itself when it joins."""

    name: str
    host: str
    process: int
    version: str
    roles: tuple[str, ...]  #: some of ROLES
    actions: tuple[str, ...]  #: types that it delivers; empty: all


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as the store knows it."""

    id: int  #: a new number after each start
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
    tests: bool  #: whether this node makes the test attempts at a target whose breaker is open


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a target, for all nodes together."""

    concurrency: int
    rate: float | None = None
    alone: bool = False  #: one node has all of it, since such a low rate can't be divided


@dataclass(frozen=True, slots=True)
class FleetState:
    """The fleet at one moment."""

    now: int  #: ms
    nodes: tuple[NodeState, ...]
    rules: str  #: hash of the fleet's rules, the last that were activated
    changes: int  #: changes when an operator's command changed something
    breakers: Mapping[str, str]  #: breakers that are not closed, as JSON by target


@dataclass(frozen=True, slots=True)
class Released:
    """A delivery that was taken from a lost node."""

    event_id: str
    delivery_id: str
    rule: str
    action: str
    target: str
    attempt: int
    #: pending; dead when it was interrupted too often; skipped when a newer one of its latest_by value waits
    state: State


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """The node and its fleet, for metrics."""

    alive: int  #: living nodes, including this one, as last read
    lease_seconds: float
    lease_age: float  #: seconds since the lease was renewed
    listens: bool  #: see Fleet.listens
    taken_over: int  #: lost nodes that this one took over from


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The result of taking over from lost nodes."""

    released: Sequence[Released] = ()
    lost: Sequence[NodeFacts] = ()  #: lost nodes that are forgotten now, since all their work is taken over


class OwnClaims(Protocol):
    """The claims of this node, by their tokens."""

    def known_tokens(self) -> set[str]:
        """Those that were answered and are not settled."""
        ...

    def disown(self, tokens: set[str]) -> set[str]:
        """Begin no attempt by these, should an answer still come. Returns them without those answered meanwhile."""
        ...


class Fleet(Protocol):
    """The fleet, for one node."""

    @property
    def listens(self) -> bool:
        """Whether other nodes' changes are pushed to it. Otherwise it must poll."""
        ...

    def join(self, facts: NodeFacts, rules: str, lease_ms: int) -> Beat:
        """Become a node with a lease. Claims are made as this node from then on."""
        ...

    def renew(self, rules: str, lease_ms: int) -> Beat | None:
        """Renew the lease. None: others have taken over; join again."""
        ...

    def leave(self) -> None:
        """Give everything back. All attempts must have been settled."""
        ...

    def state(self) -> FleetState:
        """The fleet now."""
        ...

    def take_over(self, uncounted_before: int) -> TakenOver:
        """Make the running deliveries of nodes whose lease has ended pending again, a page at a time. Empty: nothing is
        left.

        A node without any work left is forgotten, and a notice `node.lost` is gathered, once in the fleet. An
        interruption of a node that last renewed before `uncounted_before` (ms) does not count.
        """
        ...

    def unknown(self, claims: OwnClaims) -> int:
        """Release deliveries that the store counts as running here, but whose tokens are unknown, since the answer to a
        claim was lost. Returns their number."""
        ...

    def leads(self, tasks: Sequence[str], lease_ms: int) -> frozenset[str]:
        """Which of these tasks of the fleet this node does, for this long."""
        ...

    def share(self, wanted: Mapping[str, tuple[Limits | None, int]]) -> Mapping[str, Share]:
        """This node's shares of targets.

        `wanted` has by target its limits (None: those that others have set), and the number of slots that this node may
        still use there. It keeps them until it asks with fewer.
        """
        ...

    def put_breaker(self, target: str, noted: str | None) -> None:
        """Tell all nodes of a target's breaker; None: it is closed."""
        ...

    def activates(self, ruleset: str) -> bool:
        """Whether a start with these rules activates them for the fleet. False when they are older than those of living
        nodes."""
        ...

    def tell(self) -> None:
        """Wake the other nodes: some work is due."""
        ...

    def wait(self, seconds: float, wake: int) -> bool:
        """Wait until another node tells of changes (True), the descriptor `wake` is readable, or the time is over."""
        ...

    def close(self) -> None:
        """Close the connection. The next call opens another one."""
        ...
