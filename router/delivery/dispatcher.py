"""The delivery loop: claims due deliveries, and begins their attempts. It has a thread of its own."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import structlog

from router.delivery.attempt import Attempts
from router.delivery.clock import ShortenedWaits
from router.delivery.committed import STORE_RETRY_SECONDS, CommittedWrites
from router.delivery.definitions import Compile, Definitions
from router.delivery.due_targets import RESCAN_SECONDS, DueTargets
from router.delivery.first_answers import FirstAnswers
from router.delivery.first_attempts import FirstAttempts, ReservingStore
from router.delivery.fleet_side import FleetSide
from router.delivery.held_claims import HeldClaims
from router.delivery.holding import Holding
from router.delivery.lease_watch import LeaseWatch
from router.delivery.node import DeliveringNode
from router.delivery.own_events import OwnEvents
from router.delivery.running import STOP_SECONDS, RunningAttempts
from router.delivery.settling import Settling
from router.delivery.skips import SkipReports
from router.delivery.target import Target
from router.delivery.targets import BREAKERS_NOTE, Targets
from router.delivery.tools import open_tools
from router.delivery.wait_notes import WAITS_NOTE, WaitNotes, parsed_note
from router.domain.deliveries import Claim, Delivery, PlannedDelivery
from router.domain.errors import RouterError
from router.domain.holds import Hold
from router.domain.target_state import TargetLoad
from router.observe.logging.outage import Outage
from router.observe.metrics import Metrics
from router.plugins.action import ActionType
from router.rules.ruleset import CurrentRuleset
from router.runtime.lease import Lease
from router.runtime.loop_inbox import Inbox
from router.store.contract import Store

log = structlog.get_logger()


class Dispatcher:
    """Owns the delivery loop.

    `start`, `stop`, `ping`, `alive` and `loads` may be called from any thread. `_on_due` is called by the store's
    thread. Everything else belongs to the loop.
    """

    def __init__(
        self,
        current: CurrentRuleset,
        store: Store,
        compile_recorded: Compile,
        action_types: Mapping[str, ActionType],
        now_ms: Callable[[], int],
        told_to_stop: Callable[[], bool] = lambda: False,
        metrics: Metrics | None = None,
        lease: Lease | None = None,
        guard_lock: Path | None = None,
        node: DeliveringNode | None = None,
    ) -> None:
        """`node`: this daemon's node in a fleet. None: the daemon owns the store alone."""
        self._current = current
        self._store = store
        self._compile_recorded = compile_recorded
        self._action_types = action_types
        self._now_ms = now_ms
        self._told_to_stop = told_to_stop
        self._metrics = metrics or Metrics()
        self._lease = lease or Lease()
        self._guard_lock = guard_lock
        self._node = node
        self._types = node.action_types if node is not None else ()  # action types that are delivered here; empty: all
        self._thread = threading.Thread(target=self._main, name="delivery", daemon=True)
        self._started = threading.Event()
        self._stopping = False
        self._grace = 0.0
        self._targets = Targets(current, store, now_ms, node.breaker if node is not None else None)
        self._due = DueTargets(current, self._targets, self._types)
        self._claims = HeldClaims()
        self._wait_notes = WaitNotes(store)
        self._recalled = False
        self._looks_again = False
        self._rescan_at = 0.0  #: monotonic
        self._outage = Outage()  #: of the store
        self.fleet_side = FleetSide(self._claims, self._targets, self._due, store, self._lease, self._look_again)
        self.first_answers = FirstAnswers(self._may_begin)
        self.sink = ReservingStore(store, self.first_answers, self._first_stored)  #: where the intake puts events

    def start(self) -> None:
        """Start delivering."""
        self._thread.start()
        self._started.wait()

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive() and not self._stopping

    def loads(self) -> list[TargetLoad]:
        """See Targets.loads."""
        return self._targets.loads()

    def ping(self, answer: Callable[[], None]) -> None:
        """Call a function in the loop, as soon as the loop is free. The loop must have been started."""
        self._inbox.call(answer)

    def stop(self, grace: float) -> None:
        """Claim nothing more, let running attempts end within `grace` seconds, cancel the rest, end the thread.

        Cancelled attempts are settled as interrupted and uncounted, so call this before the store closes.
        """
        if not self._started.is_set():
            return
        self._grace = grace
        self._inbox.call(self._begin_stop)
        self._thread.join(grace + 2 * STOP_SECONDS)

    def _begin_stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def _main(self) -> None:
        asyncio.run(self._run())

    def _may_begin(self, rule: str, action: str, target: str) -> bool:
        """Whether an attempt could start at once, by what this process knows. Any thread may call it."""
        if (
            self._stopping
            or not self._lease.lets_begin
            or (self._holding.any and self._holding.holds(target, rule, action))
        ):
            return False
        if self._types:
            found = self._current.ruleset.actions.get((rule, action))
            if found is None or found.action.type not in self._types:
                return False
        return self._targets.may_take(target)

    def _first_stored(self, planned: PlannedDelivery) -> None:
        self._inbox.call(partial(self._first_attempts.stored, planned))
        self._inbox.call(self._wake.set)

    async def _run(self) -> None:
        self._join_parts()
        # if the store can't be read now, it is read again before the first claim
        with contextlib.suppress(RouterError):
            await self._recall()
        self.fleet_side.open(self._inbox)
        self._started.set()
        async with open_tools(self._action_types, self._told_to_stop, self._lease, self._guard_lock) as tools:
            definitions = Definitions(self._current, self._store, self._compile_recorded)
            attempts = Attempts(
                self._current,
                definitions,
                self._store,
                self._writes,
                tools,
                self._fleet_rules,
                self.first_answers.wants,
            )
            self._running = RunningAttempts(
                attempts,
                self._settling,
                self._targets,
                self._claims,
                self._holding,
                self.first_answers,
                OwnEvents(self._current, self._now_ms),
                self._now_ms,
                self._wake.set,
            )
            self._watch = LeaseWatch(self._lease, self._inbox, self._running.cut_off)
            await self._dispatch()
            await self._running.end(self._grace)
            self.first_answers.close()

    def _join_parts(self) -> None:
        """Make the parts that belong to the loop, and have the store and the intake tell the loop what happens."""
        self._inbox = inbox = Inbox()
        self._wake = asyncio.Event()
        self._writes = CommittedWrites(inbox)
        self._clock = ShortenedWaits(self._store, inbox, self._now_ms, lambda: self._stopping)
        self._settling = Settling(self._store, self._writes.write, self._metrics, self._held_again, self._claims.let_go)
        self._holding = Holding(self._current, self._store, inbox, self._writes.write, self._now_ms, self._sets_holds)
        self._first_attempts = FirstAttempts(
            self._store, inbox, self.first_answers, self._targets, self._now_ms, self._may_begin, self._take_first
        )
        self.first_answers.open(inbox)
        self._store.on_due(self._on_due)
        self._store.on_holds(self._on_holds)
        self._store.on_skipped(SkipReports(self._metrics, self.first_answers.skipped).report)

    async def _recall(self) -> None:
        """Read what the previous process left in the store: rates, breakers and holds. Raises RouterError."""
        last_claims = await asyncio.to_thread(self._store.last_claims)
        notes = await asyncio.to_thread(self._store.notes)
        self._recalled = True
        self._targets.recall(last_claims, parsed_note(notes.get(BREAKERS_NOTE)))
        self._wait_notes.begin(notes.get(WAITS_NOTE))

    async def _dispatch(self) -> None:
        while not self._stopping:
            self._clock.check()
            if self._lease.is_over:
                await self._sleep(RESCAN_SECONDS)
                self._wake.clear()
                continue
            try:
                pause = await self._turn()
            except RouterError as error:
                pause = self._store_failed(error)
            await self._sleep(min(pause, self._rescan_at - time.monotonic()))

    async def _turn(self) -> float:
        """Find what is due, claim it and begin its attempts. Returns the seconds to wait. Raises RouterError."""
        if not self._recalled:
            await self._recall()
        if time.monotonic() >= self._rescan_at or self._looks_again:
            await self._rescan()
        self._wake.clear()
        if self._holding.is_stale:
            await self._holding.refresh()
        pause = await self._claim_due()
        if failures := self._outage.over():
            log.info("store can be read and written again; deliveries continue", failures=failures)
        return pause

    async def _rescan(self) -> None:
        """Look in the store for what no commit of this process announced."""
        self._looks_again = False
        self._remember_due(await asyncio.to_thread(self._store.due, self._types), known=True)
        self._rescan_at = time.monotonic() + RESCAN_SECONDS
        self._holding.log_changes()

    def _store_failed(self, error: RouterError) -> float:
        """Returns the seconds until the next try."""
        if failures := self._outage.failed(time.monotonic()):
            log.error("store can't be read or written; deliveries wait", error=str(error), failures=failures)
        pause = STORE_RETRY_SECONDS[-1]
        self._rescan_at = time.monotonic() + pause  # the check for due deliveries may be what failed
        self._wake.clear()  # the failed claim has set it
        return pause

    async def _sleep(self, seconds: float) -> None:
        """Wait for this many seconds, or until something wakes the loop."""
        if seconds > 0 and not self._stopping:
            alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
            await self._wake.wait()
            alarm.cancel()

    def _on_due(self, due: Mapping[str, int]) -> None:
        self._inbox.call(partial(self._remember_due, due))
        if self._node is not None:
            self._node.due()

    def _look_again(self) -> None:
        self._looks_again = True
        self._wake.set()

    def _may_attempt(self, claim: Claim) -> bool:
        """Whether this node still has the claim and the slot that it was made for."""
        return self._lease.lets_begin and not self._claims.is_disowned(claim)

    def _sets_holds(self) -> bool:
        """Whether this node stores what its rules file holds. In a fleet only nodes with the newest rules do."""
        return self._fleet_rules() in (None, self._current.ruleset.hash)

    def _fleet_rules(self) -> str | None:
        return self._node.fleet_rules if self._node is not None else None

    def _on_holds(self) -> None:
        self._holding.changed()
        self._inbox.call(self._wake.set)

    def _held_again(self, delivery: Delivery) -> None:
        if self._holding.any:
            self._holding.settled_pending(delivery)

    def _remember_due(self, due: Mapping[str, int], *, known: bool = False) -> None:
        """See DueTargets.remember."""
        self._due.remember(due, known=known)
        self._wake.set()

    async def _claim_due(self) -> float:
        """Claim due deliveries of targets with room, and start their attempts. Returns the seconds to wait."""
        now, clock = self._now_ms(), time.monotonic()
        self._first_attempts.begin(clock, self._running.keep)
        due = self._due.now(now, clock, self._holding)
        wanted = due.free_slots if self._lease.lets_begin else {}
        if not wanted:  # waits are noted only then: after a claim the next check follows at once
            return min(due.pause, self._wait_notes.note(due.waits, now, clock))
        # Forget before the claim: what a commit announces during the claim must not be forgotten.
        self._due.forget(wanted)
        self.fleet_side.claiming = wanted
        try:
            return await self._claim(wanted, now, clock)
        finally:
            self.fleet_side.claiming = {}

    async def _claim(self, wanted: Mapping[str, int], now: int, clock: float) -> float:
        try:
            recorded = [key for key in wanted if self._targets.get(key, clock).records_claims]
            claims = await self._inbox.result(self._store.claim(wanted, now, recorded))
        except RouterError:
            self._remember_due(dict.fromkeys(wanted, now))
            raise
        self._claims.hold(claims)
        if claims and self._holding.is_stale:  # the new claims may be held
            with contextlib.suppress(RouterError):  # no claim may be lost
                await self._holding.refresh()
        counts = dict.fromkeys(wanted, 0)
        for claim in claims:
            counts[claim.delivery.target] += 1
            hold = self._holding.of(claim.delivery) if self._holding.any else None
            if not self._may_attempt(claim):
                self._running.keep(asyncio.create_task(self._release(claim)))
            elif hold is None:
                self._running.begin(claim, clock)
            else:
                self._running.keep(asyncio.create_task(self._give_back(claim, hold)))
        # A target that filled all its free slots may have more deliveries.
        self._remember_due({key: now for key, count in counts.items() if count == wanted[key]})
        return 0.0

    async def _give_back(self, claim: Claim, hold: Hold) -> None:
        await self._holding.give_back(claim, hold)
        self._claims.let_go(claim)

    async def _release(self, claim: Claim) -> None:
        """Give back a claim whose answer came after the lease had ended, or after it was disowned."""
        await self._writes.write(lambda: self._store.release(claim))
        self._claims.let_go(claim)

    async def _take_first(self, claim: Claim, target: Target) -> None:
        self._claims.hold([claim])
        if self._holding.is_stale:
            with contextlib.suppress(RouterError):
                await self._holding.refresh()
        hold = self._holding.of(claim.delivery) if self._holding.any else None
        if hold is None and self._may_attempt(claim):
            await asyncio.wait([self._running.attempt(claim, target, decides=False)])
            return
        target.take_back()
        self.first_answers.ended(claim.delivery.id, None)
        await (self._release(claim) if hold is None else self._give_back(claim, hold))
