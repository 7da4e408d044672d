"""This process as one of several nodes of a store: its lease, what it takes over from others, and news from them.

One thread does all of it, on a connection of its own: a heartbeat at a third of the lease, a check of the fleet each
second, and news from other nodes at once.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from router.daemon.known_fleet import KnownFleet
from router.daemon.node_messages import NodeMessages
from router.daemon.sure_leases import SureLeases
from router.daemon.taken_over import log_taken_over
from router.daemon.wall_clock import CLOCK
from router.domain.errors import RouterError
from router.observe.logging.outage import Outage
from router.runtime.lease import Lease, lease_clock
from router.store.contract import Store
from router.store.fleet import Fleet, Limits, NodeCounts, NodeFacts, OwnClaims, Share, TakenOver

SURE_SECONDS = 30.0  #: between two checks for changes that no notice announced
LOOK_SECONDS = 1.0  #: between two checks of the fleet: a pause by command reaches every node within this time
#: shares of the lease: attempts are stopped after the first; what is left is killed after the second
STOP_AT, END_AT = 0.75, 0.9
UNKNOWN_SECONDS = 3.0  #: between two searches for claims whose answer was lost; a claim must be found twice
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
    """Any thread may call what is public, except `join`: it comes before `start`."""

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
        self.known = KnownFleet(fleet, rules)
        self._messages = NodeMessages(self.wake)
        self._deliveries: Deliveries | None = None
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self._sure = SureLeases(seconds)
        self._renew_at = self._look_at = self._unknown_at = self._sure_at = 0.0  #: by lease_clock
        self._changes = -1
        self._alone = True  #: as the store was told: no other node lives
        self._leads = False
        self._polls: frozenset[str] = frozenset()  #: sources that this node polls
        self.polled: Callable[[], Sequence[str]] = tuple  #: the polled sources in this node's rules
        self._renewed_at = lease_clock()
        self._outage = Outage()  #: of the database
        self._taken_over = 0  #: lost nodes whose work is all taken over
        self.id = 0

    def join(self) -> None:
        """Become a node, before anything is claimed. Raises StoreError."""
        began = lease_clock()
        beat = self._fleet.join(self._facts, self.known.own_rules, round(self._seconds * 1000))
        self.id = beat.id
        self._sure.begin(began, beat.now, beat.server_started_at)
        self._renewed(began, beat.now)
        self.known.read()

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

    @property
    def fleet_rules(self) -> str:
        """The hash of the fleet's rules."""
        return self.known.rules

    def leads(self) -> bool:
        """Whether this node leads: it does the work that one node does for all."""
        return self._leads and not self._lease.is_over

    def polls(self, source: str) -> bool:
        """Whether this node polls the source."""
        return source in self._polls and not self._lease.is_over

    @property
    def counts(self) -> NodeCounts:
        """The node's counters, for metrics. Any thread may call it."""
        return NodeCounts(
            alive=len(self.known.peers()),
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
        if not self._messages.is_due and any(
            "delivery" in node.facts.roles for node in self.known.peers() if node.id != self.id
        ):
            self._messages.due()

    def breaker(self, target: str, noted: str | None) -> None:
        """Tell the other nodes the state of a target's breaker. None: it is closed."""
        self._messages.breaker(target, noted)

    def wake(self) -> None:
        """Wake the node's thread."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full, so the thread is awake already
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            try:
                self._work()
                pause = 0.0
                self._wait()
            except RouterError as error:
                self._database_failed(error)
                pause = min(LOOK_SECONDS, 2 * pause or 0.1)
                self._stopping.wait(pause)
            except Exception:  # a bug must not end the lease of a node that works
                log.exception("the node's thread failed by a fault of ours")
                self._stopping.wait(LOOK_SECONDS)

    def _work(self) -> None:
        """Do what it is time for. Raises RouterError."""
        if lease_clock() >= self._renew_at:
            self._renew()
        if lease_clock() >= self._look_at:
            self._look()
            self._look_at = lease_clock() + LOOK_SECONDS
        self._messages.send(self._fleet)

    def _wait(self) -> None:
        """Wait until there is something to do, or news from another node. Raises RouterError."""
        until = min(self._look_at, self._renew_at, self._messages.send_at)
        if self._fleet.wait(until - lease_clock(), self._wake_read):
            if self._deliveries is not None:
                self._deliveries.look_again()
            self._look_at = 0.0
        self._take_wakes()

    def _database_failed(self, error: RouterError) -> None:
        if failures := self._outage.failed(lease_clock()):
            log.error("the node can't reach the database; its lease may end", error=str(error), failures=failures)
        self._sure.lost()
        self._renew_at = 0.0  # first of all: a standby may not know this node, and give its slots to others
        self._polls = frozenset()  # another node may begin soon, and no result could be stored

    def _take_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _renew(self) -> None:
        began = lease_clock()
        beat = self._fleet.renew(self.known.own_rules, round(self._seconds * 1000))
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
        """Read the fleet's state, and act on it. Raises RouterError."""
        read_at = time.monotonic()
        state = self.known.read()
        self._sure.looked(lease_clock(), state.now)
        changed = state.changes != self._changes or lease_clock() >= self._sure_at
        if changed:
            self._sure_at = lease_clock() + SURE_SECONDS
        self._changes = state.changes
        alone = len(self.known.peers()) <= 1
        if changed or alone is not self._alone:
            self._alone = alone
            self._store.changed_by_others(alone=alone)
        if self._deliveries is not None:
            wanted = self._deliveries.wanted_shares(sets_limits=self.known.runs_its_rules)
            self._deliveries.take_shares(self._fleet.share(wanted))
            self._deliveries.take_breakers(state.breakers, read_at)
            if changed:
                self._deliveries.look_again()
            self._find_unknown(self._deliveries.claims)
            self._take_over()
        self.known.follow_rules(state)
        self._divide_tasks()

    def _find_unknown(self, claims: OwnClaims) -> None:
        """Give back claims whose answer was lost."""
        if lease_clock() < self._unknown_at:
            return
        self._unknown_at = lease_clock() + UNKNOWN_SECONDS
        if found := self._fleet.unknown(claims):
            log.warning("claims whose answer was lost were given back", deliveries=found)

    def _take_over(self) -> None:
        """Take over from nodes that are gone; only if the database was here long enough for the others to renew."""
        if not self._sure.tell(lease_clock()) or self._lease.is_over:
            return
        while (taken := self._fleet.take_over(self._sure.uncounted_before)) != TakenOver():
            log_taken_over(taken)
            self._taken_over += len(taken.lost)

    def _divide_tasks(self) -> None:
        """Agree with the other nodes on who does what one node does for all."""
        wanted = [RETENTION, *(POLL + name for name in self.polled())]
        led = self._fleet.leads(wanted, round(self._seconds * 1000))
        self._leads = RETENTION in led
        self._polls = frozenset(task.removeprefix(POLL) for task in led if task.startswith(POLL))
