"""This process as one of several nodes of a store: its lease, what it takes over from others, and news from them.

One thread does all of it, on a connection of its own: a heartbeat at a third of the lease, a check of the fleet each
second, and news from other nodes at once.
"""

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from router.daemon.sure_leases import SureLeases
from router.daemon.wall_clock import CLOCK
from router.domain.errors import RouterError
from router.observe.logging.outage import Outage
from router.runtime.lease import Lease, lease_clock
from router.store.contract import Store
from router.store.fleet import (
    Fleet,
    FleetState,
    Limits,
    NodeCounts,
    NodeFacts,
    NodeState,
    OwnClaims,
    Released,
    Share,
    TakenOver,
)

SURE_SECONDS = 30.0  #: between two checks for changes that no notice announced
LOOK_SECONDS = 1.0  #: between two checks of the fleet: a pause by command reaches every node within this time
#: shares of the lease: attempts are stopped after the first; what is left is killed after the second
STOP_AT, END_AT = 0.75, 0.9
TELL_SECONDS = 0.02  #: shortest time between two notices to the other nodes
UNKNOWN_SECONDS = 3.0  #: between two searches for claims whose answer was lost; a claim must be found twice
ACTIVATION_SECONDS = 30.0  #: limit of a reload from the record of its rules until they run
RETENTION = "retention"  #: a task that one node does for all
POLL = "poll "  #: before a source's name: the task to poll it

log = structlog.get_logger()


class Deliveries(Protocol):
    """What the node's thread may ask of the delivery loop."""

    @property
    def claims(self) -> OwnClaims:
        """The claims of this node."""
        ...

    def wanted_shares(self, *, sets_limits: bool) -> Mapping[str, tuple[Limits | None, int]]:
        """See Fleet.share. `sets_limits`: the limits of this node's rules are the fleet's."""
        ...

    def take_shares(self, shares: Mapping[str, Share]) -> None:
        """What this node may use from now on."""
        ...

    def take_breakers(self, breakers: Mapping[str, str], read_at: float) -> None:
        """The breakers of all nodes that are not closed, as read at that time by the monotonic clock."""
        ...

    def look_again(self) -> None:
        """Look for due deliveries."""
        ...


class Node:
    """`start`, `stop` and `now_ms` belong to any thread, `due` and `breaker` to the store's and the delivery loop's."""

    def __init__(
        self,
        fleet: Fleet,
        store: Store,
        facts: NodeFacts,
        lease: Lease,
        seconds: float,
        rules: Callable[[], str],
    ) -> None:
        """`seconds`: how long the lease is; `rules`: the hash of the rules that run here."""
        self._fleet = fleet
        self._store = store
        self._facts = facts
        self._lease = lease
        self._seconds = seconds
        self._rules = rules
        self._deliveries: Deliveries | None = None
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self._is_due = False  # something must be told to other nodes
        self._breakers: OrderedDict[str, str | None] = OrderedDict()  #: breakers to tell of, by target
        self._lock = threading.Lock()
        self._sure = SureLeases(seconds)
        self._renew_at = self._tell_at = self._unknown_at = self._sure_at = 0.0
        self._changes = -1
        self._leads = False
        self._activated = ("", 0.0)  #: the rules recorded as the fleet's, and until when they should run here
        self._activations = 0
        self._polls: frozenset[str] = frozenset()  #: sources that this node polls
        self.polled: Callable[[], Sequence[str]] = tuple  #: the polled sources in this node's rules
        self._renewed_at = lease_clock()
        self._outage = Outage()  #: of the database
        self._taken_over = 0  #: lost nodes whose work is all taken over
        self.activate: Callable[[], None] = lambda: None  #: makes this node's running rules the fleet's
        self.id = 0
        self.state: FleetState | None = None  #: as last read

    def join(self) -> None:
        """Become a node, before anything is claimed. Raises StoreError."""
        began = lease_clock()
        beat = self._fleet.join(self._facts, self._told_rules(), round(self._seconds * 1000))
        self.id = beat.id
        self._sure.begin(began, beat.now, beat.server_started_at)
        self._renewed(began, beat.now)
        self.state = self._fleet.state()

    def record_rules(self) -> None:
        """Make the rules that run here the fleet's, unless live nodes run newer ones. Raises StoreError."""
        if self._fleet.activates(self._rules()):
            self.activate()
        else:
            log.warning("the rules file here is older than the fleet's; deliveries go by the fleet's rules")
        self.state = self._fleet.state()

    def start(self, deliveries: Deliveries | None) -> None:
        """Start the node's thread. `deliveries` is None when this node delivers nothing."""
        self._deliveries = deliveries
        self._thread.start()

    def stop(self) -> None:
        """Leave the fleet, once all attempts are settled. Other nodes take the remaining deliveries at once."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(10)
        try:
            self._fleet.leave()
            self._fleet.tell()
        except RouterError as error:
            log.warning("the node can't leave; others take over when its lease ends", error=str(error))
        self._fleet.close()

    def activated(self, rules: str) -> None:
        """These rules, by their hash, are recorded as the fleet's, and run here in a moment. Any thread may call it."""
        with self._lock:
            self._activated = (rules, lease_clock() + ACTIVATION_SECONDS)
            self._activations += 1
            if self.state is not None:
                self.state = replace(self.state, rules=rules)

    @property
    def runs_fleet_rules(self) -> bool:
        """Whether the rules that run here are the fleet's."""
        state = self.state
        return state is None or state.rules in ("", self._rules())

    @property
    def fleet_rules(self) -> str:
        """The hash of the fleet's rules."""
        return (self.state.rules if self.state is not None else "") or self._rules()

    def leads(self) -> bool:
        """Whether this node leads: it does the work that one node does for all."""
        return self._leads and not self._lease.is_over

    def polls(self, source: str) -> bool:
        """Whether this node polls the source."""
        return source in self._polls and not self._lease.is_over

    def peers(self) -> tuple[NodeState, ...]:
        """The living nodes, as last read."""
        return tuple(node for node in (self.state.nodes if self.state else ()) if node.lives)

    @property
    def counts(self) -> NodeCounts:
        """The node's counters, for metrics. Any thread may call it."""
        return NodeCounts(
            alive=len(self.peers()),
            lease_seconds=self._seconds,
            lease_age=lease_clock() - self._renewed_at,
            listens=self._fleet.listens,
            taken_over=self._taken_over,
        )

    @property
    def action_types(self) -> tuple[str, ...]:
        """The types of actions that it delivers; empty: all."""
        return self._facts.actions

    def due(self) -> None:
        """Tell the other nodes that a commit made deliveries due."""
        if not self._is_due and any("delivery" in node.facts.roles for node in self.peers() if node.id != self.id):
            self._is_due = True
            self.wake()

    def breaker(self, target: str, noted: str | None) -> None:
        """Tell the other nodes the state of a target's breaker. None: it is closed."""
        with self._lock:
            self._breakers[target] = noted
        self.wake()

    def wake(self) -> None:
        """Wake the node's thread."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full, so the thread is awake already
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        look_at, pause = 0.0, 0.0
        while not self._stopping.is_set():
            try:
                if lease_clock() >= self._renew_at:
                    self._renew()
                if lease_clock() >= look_at:
                    self._look()
                    look_at = lease_clock() + LOOK_SECONDS
                self._tell()
                pause = 0.0
                if self._fleet.wait(min(look_at, self._renew_at, self._next_tell()) - lease_clock(), self._wake_read):
                    self._told()
                    look_at = 0.0
                self._take_wakes()
            except RouterError as error:
                if failures := self._outage.failed(lease_clock()):
                    log.error(
                        "the node can't reach the database; its lease may end", error=str(error), failures=failures
                    )
                self._sure.lost()
                self._renew_at = 0.0  # first of all: a standby may not know this node, and give its slots to others
                self._polls = frozenset()  # another node may begin soon, and no result could be stored
                pause = min(LOOK_SECONDS, 2 * pause or 0.1)
                self._stopping.wait(pause)
            except Exception:  # a bug must not end the lease of a node that works
                log.exception("the node's thread failed by a fault of ours")
                self._stopping.wait(LOOK_SECONDS)

    def _take_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _renew(self) -> None:
        began = lease_clock()
        beat = self._fleet.renew(self._told_rules(), round(self._seconds * 1000))
        if beat is None:
            log.warning("other nodes took over this node's work; it joins again")
            # By its own clock the lease may go on: the database may be another one, or this machine was paused.
            self._lease.break_off()
            self.join()
            return
        if self._sure.away:
            log.info("the node reaches the database again", failures=self._outage.over())
        if self._sure.renewed(began, lease_clock(), beat.now, beat.server_started_at):
            self._changes = -1
        self._renewed(began, beat.now)

    def _renewed(self, began: float, now: int) -> None:
        ended = lease_clock()
        CLOCK.set(now, (began + ended) / 2)
        was_over = self._lease.is_over
        self._lease.renew(began + STOP_AT * self._seconds, began + END_AT * self._seconds)
        self._renewed_at, self._renew_at = began, began + self._seconds / 3
        if was_over and self._deliveries is not None:
            self._deliveries.look_again()

    def _look(self) -> None:
        read_at = time.monotonic()
        state = self._read_state()
        self._sure.looked(lease_clock(), state.now)
        changed = state.changes != self._changes or lease_clock() >= self._sure_at
        if changed:
            self._sure_at = lease_clock() + SURE_SECONDS
        alone = sum(node.lives for node in state.nodes) <= 1
        was_alone = len(self.peers()) <= 1
        self._changes = state.changes
        if changed or alone is not was_alone:
            self._store.changed_by_others(alone=alone)
        if self._deliveries is not None:
            self._deliveries.take_shares(
                self._fleet.share(self._deliveries.wanted_shares(sets_limits=self.runs_fleet_rules))
            )
            self._deliveries.take_breakers(state.breakers, read_at)
            if changed:
                self._deliveries.look_again()
            if lease_clock() >= self._unknown_at:
                self._unknown_at = lease_clock() + UNKNOWN_SECONDS
                if found := self._fleet.unknown(self._deliveries.claims):
                    log.warning("claims whose answer was lost were given back", deliveries=found)
            self._take_over()
        self._follow_rules(state)
        wanted = [RETENTION, *(POLL + name for name in self.polled())]
        led = self._fleet.leads(wanted, round(self._seconds * 1000))
        self._leads = RETENTION in led
        self._polls = frozenset(task.removeprefix(POLL) for task in led if task.startswith(POLL))

    def _told_rules(self) -> str:
        """The rules that this node reports as its own. During a reload these are the new ones: otherwise others would
        think that no node runs them."""
        rules, until = self._activated
        return rules if lease_clock() < until else self._rules()

    def _read_state(self) -> FleetState:
        while True:
            activations = self._activations
            state = self._fleet.state()
            with self._lock:
                # otherwise it may be older than rules that were activated here meanwhile
                if activations == self._activations:
                    self.state = state
                    return state

    def _follow_rules(self, state: FleetState) -> None:
        """Make this node's rules the fleet's again once no node runs newer ones."""
        mine = self._told_rules()
        if state.rules not in ("", mine) and not any(n.rules == state.rules for n in state.nodes if n.lives):
            log.warning("no node runs the fleet's rules any more; those that run here are the fleet's now")
            self.activate()

    def _take_over(self) -> None:
        """Take over from nodes that are gone; only if the database was here long enough for the others to renew."""
        if not self._sure.tell(lease_clock()) or self._lease.is_over:
            return
        while (taken := self._fleet.take_over(self._sure.uncounted_before)) != TakenOver():
            for one in taken.released:
                _log_released(one)
            for lost in taken.lost:
                self._taken_over += 1
                log.warning("node lost; others have what it had running", node=lost.name, host=lost.host)

    def _told(self) -> None:
        if self._deliveries is not None:
            self._deliveries.look_again()

    def _tell(self) -> None:
        with self._lock:
            breakers, self._breakers = self._breakers, OrderedDict()
        try:
            while breakers:
                target, noted = next(iter(breakers.items()))
                self._fleet.put_breaker(target, noted)
                del breakers[target]
        finally:
            with self._lock:  # if it can't be told now it is told later, unless something newer replaces it
                self._breakers = OrderedDict({**breakers, **self._breakers})
        if self._is_due and lease_clock() >= self._tell_at:
            self._is_due = False
            self._tell_at = lease_clock() + TELL_SECONDS
            self._fleet.tell()

    def _next_tell(self) -> float:
        return self._tell_at if self._is_due else float("inf")


def _log_released(one: Released) -> None:
    log.warning(
        "attempt settled",
        event_id=one.event_id,
        delivery_id=one.delivery_id,
        rule=one.rule,
        action=one.action,
        target=one.target,
        attempt=one.attempt,
        outcome="interrupted",
        state=one.state.value,
        error="the node that ran it was lost",
    )
