"""Deliveries and their attempts: planned, claimed, settled."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from router.domain.events import Event
from router.domain.groups import Group, SkipReason
from router.domain.made_often import made_often
from router.domain.outcomes import Outcome, OutcomeKind, Sent

if TYPE_CHECKING:
    from router.domain.own_events import Notice


class State(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"  #: due at next_attempt_at, or blocked
    RUNNING = "running"  #: claimed by a dispatcher
    SUCCEEDED = "succeeded"
    DEAD = "dead"  #: no further attempt; it stays until it is replayed, cancelled or pruned
    CANCELLED = "cancelled"  #: an operator cancelled it
    SKIPPED = "skipped"  #: another delivery replaces it, by latest_by or once_by


@made_often
@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """One delivery of a new event; it becomes a Delivery when it is appended."""

    id: str  #: UUIDv7
    rule: str
    action: str
    type: str  #: the action's type, such as forward
    target: str  #: the target whose limits apply
    order_key: str | None = None  #: canonical JSON of order_by's values; None: unordered
    item: str | None = None  #: the place of its item, such as $.alerts[3]; None: it is about the whole event
    item_index: int | None = None  #: the item's number among those of the rule, from 0
    group: Group | None = None  #: by its action's latest_by or once_by


@made_often
@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one action of one rule."""

    id: str
    seq: int  #: the store's commit order
    event_id: str
    rule: str
    action: str
    type: str
    target: str
    order_key: str | None
    ruleset: (
        str  #: hash of the ruleset that its last attempt used; before the first attempt, of the one that planned it
    )
    state: State
    next_attempt_at: int  #: ms; while pending
    attempts: int  #: counted attempts since it was planned or last replayed; interrupted ones don't count
    interruptions: int  #: interrupted attempts in a row
    first_attempt_at: int | None  #: ms; the retry policy's `give_up_after` counts from here
    created_at: int  #: ms
    blocked: bool = False  #: an earlier delivery of the same order key is pending or running
    error: str = ""  #: the last attempt's error
    item: str | None = None  #: see PlannedDelivery
    item_index: int | None = None
    # A claim leaves out the following: no attempt needs it.
    behind: bool = False  #: an attempt at an earlier delivery of its latest_by value is under way
    latest_key: str | None = None  #: latest_by's value; None: not grouped, or replayed
    once_key: str | None = None  #: once_by's value; None: not grouped, or replayed
    skip_reason: SkipReason | None = None  #: while skipped
    skipped_for: str | None = None  #: while skipped: the id of the delivery that replaces it


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one delivery."""

    delivery_id: str
    number: int  #: 1 for the first try, interrupted ones included
    started_at: int  #: ms
    finished_at: int | None  #: ms; None while it runs
    outcome: OutcomeKind | None  #: None while it runs
    status: int | None
    error: str
    excerpt: str
    sent: Sent | None = None  #: the request that was sent; None while it runs, and for actions without a request


@made_often
@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that its holder may attempt, with the token that proves it, and the event to deliver."""

    token: str
    delivery: Delivery
    event: Event
    attempt: int  #: the number of the attempt that the claim started, from 1
    unread: str = ""  #: why the event's body could not be read; the attempt fails with it


@made_often
@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of an attempt. It is written only while the token still owns the delivery."""

    delivery_id: str
    token: str
    outcome: Outcome
    state: State  #: succeeded, dead, or pending for another try
    finished_at: int  #: ms
    next_attempt_at: int  #: ms; read only when state is pending
    ruleset: str | None = None  #: hash of the rules that the attempt used; None: the delivery's own
    notices: "Sequence[Notice]" = ()  #: the router's own events about it, stored with it


@dataclass(frozen=True, slots=True)
class IncludedText:
    """The text of a file that a rules file includes."""

    pattern: str  #: the file or glob of `include:` that named it
    name: str  #: its path from the folder of the main file
    text: str
    base_dir: str  #: the folder where its relative paths start


@dataclass(frozen=True, slots=True)
class RulesetText:
    """The text of a ruleset, to compile again for deliveries that outlive it."""

    hash: str
    text: str
    base_dir: str  #: the folder where its relative paths start
    included: tuple[IncludedText, ...] = ()  #: the files that it includes, in their order
    first_at: int | None = field(default=None, compare=False)
    """When (ms) the store first had it as the current one; None: that is not known, or it never was."""
