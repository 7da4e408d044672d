"""The delivery loop: claims due deliveries, attempts and settles them. It has a thread of its own."""

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from router.delivery.attempt import LEASE_OVER, AttemptResult, Attempts, ids
from router.delivery.breaker import answered
from router.delivery.clock import ClockWatch
from router.delivery.committed import STORE_RETRY_SECONDS, CommittedWrites
from router.delivery.definitions import Compile, Definitions
from router.delivery.due_targets import RESCAN_SECONDS, DueTargets
from router.delivery.first_answers import FirstAnswers
from router.delivery.first_attempts import FirstAttempts, ReservingStore
from router.delivery.holding import Holding
from router.delivery.lease_watch import LeaseWatch
from router.delivery.node import DeliveringNode
from router.delivery.own_events import OwnEvents
from router.delivery.retry import settlement
from router.delivery.settling import FinishedAttempt, Settling
from router.delivery.skips import SkipReports
from router.delivery.target import Target
from router.delivery.targets import BREAKERS_NOTE, Targets
from router.delivery.tools import open_tools
from router.delivery.wait_notes import WAITS_NOTE, WaitNotes, parsed_note
from router.domain.deliveries import Claim, Delivery, PlannedDelivery
from router.domain.errors import RouterError
from router.domain.holds import Hold
from router.domain.own_events import is_own
from router.domain.target_state import TargetLoad
from router.observe.logging.outage import Outage
from router.observe.metrics import Metrics
from router.plugins.action import ActionType
from router.rules.ruleset import CurrentRuleset
from router.runtime.lease import Lease
from router.runtime.loop_inbox import Inbox
from router.store.contract import Store
from router.store.fleet import Limits, Share

_STOP_SECONDS = 3.0  #: how long a stop waits for the settles of cancelled attempts

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
        self._node = node
        self._types = node.action_types if node is not None else ()  # action types that are delivered here; empty: all
        self._held: Counter[str] = Counter()  #: tokens of claims that are not settled
        self._disowned: set[str] = set()  #: tokens of claims that others may have now, should their answer still come
        self._tokens = threading.Lock()  #: of both
        self._claiming: Mapping[str, int] = {}  #: slots by target that a claim under way may use
        self._attempting: set[asyncio.Task[None]] = set()
        self._current = current
        self._store = store
        self._compile_recorded = compile_recorded
        self._action_types = action_types
        self._now_ms = now_ms
        self._told_to_stop = told_to_stop
        self._metrics = metrics or Metrics()
        self._lease = lease or Lease()
        self._guard_lock = guard_lock
        self._thread = threading.Thread(target=self._main, name="delivery", daemon=True)
        self._started = threading.Event()
        self._stopping = False
        self._grace = 0.0
        self._targets = Targets(current, store, now_ms, node.breaker if node is not None else None)
        self._own_events = OwnEvents(current, now_ms)
        self._wait_notes = WaitNotes(store)
        self._clock = ClockWatch()
        self._due = DueTargets(current, self._targets, self._types)
        self._running: set[asyncio.Task[None]] = set()
        self._recalled = False
        self._looks_again = False
        self._outage = Outage()  #: of the store
        self._shares: Mapping[str, Share] = {}
        self._shortening: asyncio.Task[None] | None = None
        self.first_answers = FirstAnswers(self._may_begin)
        self.sink = ReservingStore(store, self.first_answers, self._first_stored)  #: where the intake puts events
        self._verbose: bool = log.is_enabled_for(logging.DEBUG)  # asked once: it costs more than most lines

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
        self._thread.join(grace + 2 * _STOP_SECONDS)

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
        self._inbox = Inbox()
        self._writes = writes = CommittedWrites(self._inbox)
        self._settling = Settling(self._store, writes.write, self._metrics, self._held_again, self._let_go)
        self._wake = asyncio.Event()
        self._watch = LeaseWatch(self._lease, self._inbox, self._cut_off)
        self._holding = Holding(self._current, self._store, self._inbox, writes.write, self._now_ms, self._sets_holds)
        self._first_attempts = FirstAttempts(
            self._store, self._inbox, self.first_answers, self._targets, self._now_ms, self._may_begin, self._take_first
        )
        self.first_answers.open(self._inbox)
        self._store.on_due(self._on_due)
        self._store.on_holds(self._on_holds)
        self._store.on_skipped(SkipReports(self._metrics, self.first_answers.skipped).report)
        # if the store can't be read now, it is read again before the first claim
        with contextlib.suppress(RouterError):
            await self._recall()
        self._started.set()
        definitions = Definitions(self._current, self._store, self._compile_recorded)
        async with open_tools(self._action_types, self._told_to_stop, self._lease, self._guard_lock) as tools:
            self._attempts = Attempts(
                self._current, definitions, self._store, writes, tools, self._fleet_rules, self.first_answers.wants
            )
            await self._dispatch()
            await self._drain()
            self.first_answers.close()

    async def _recall(self) -> None:
        """Read what the previous process left in the store: rates, breakers and holds. Raises RouterError."""
        last_claims = await asyncio.to_thread(self._store.last_claims)
        notes = await asyncio.to_thread(self._store.notes)
        self._recalled = True
        self._targets.recall(last_claims, parsed_note(notes.get(BREAKERS_NOTE)))
        self._wait_notes.begin(notes.get(WAITS_NOTE))

    async def _dispatch(self) -> None:
        rescan_at = 0.0
        while not self._stopping:
            self._check_clock()
            try:
                if self._lease.is_over:
                    await self._sleep(RESCAN_SECONDS)
                    self._wake.clear()
                    continue
                if not self._recalled:
                    await self._recall()
                if time.monotonic() >= rescan_at or self._looks_again:
                    self._looks_again = False
                    due = await asyncio.to_thread(self._store.due, self._types)
                    self._remember_due(due, known=True)
                    rescan_at = time.monotonic() + RESCAN_SECONDS
                    self._holding.log_changes()
                self._wake.clear()
                if self._holding.is_stale:
                    await self._holding.refresh()
                pause = await self._claim_due()
                if failures := self._outage.over():
                    log.info("store can be read and written again; deliveries continue", failures=failures)
            except RouterError as error:
                if failures := self._outage.failed(time.monotonic()):
                    log.error("store can't be read or written; deliveries wait", error=str(error), failures=failures)
                pause = STORE_RETRY_SECONDS[-1]
                rescan_at = time.monotonic() + pause  # the check for due deliveries may be what failed
                self._wake.clear()  # the failed claim has set it
            await self._sleep(min(pause, rescan_at - time.monotonic()))

    async def _sleep(self, seconds: float) -> None:
        """Wait for this many seconds, or until something wakes the loop."""
        if seconds > 0 and not self._stopping:
            alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
            await self._wake.wait()
            alarm.cancel()

    def _check_clock(self) -> None:
        if self._shortening is not None and not self._shortening.done():
            return
        if self._clock.waits_are_suspect(self._now_ms(), time.monotonic()):
            self._shortening = asyncio.create_task(self._shorten_waits())

    async def _shorten_waits(self) -> None:
        """After the clock was set back: shorten the waits that would now take too long."""
        after: int | None = 0
        try:
            while after is not None and not self._stopping:
                after = await self._inbox.result(self._store.shorten_waits(self._now_ms(), after))
        except RouterError:
            self._clock.ask_again(time.monotonic())

    def _on_due(self, due: Mapping[str, int]) -> None:
        self._inbox.call(partial(self._remember_due, due))
        if self._node is not None:
            self._node.due()

    def look_again(self) -> None:
        """Read the store again: another node or a command made deliveries due. Any thread may call it."""
        if self._started.is_set():
            self._inbox.call(self._look_again)

    def _look_again(self) -> None:
        self._looks_again = True
        self._wake.set()

    def known_tokens(self) -> set[str]:
        """The tokens of the claims that are not settled. Any thread may call it."""
        with self._tokens:
            return set(self._held)

    def disown(self, tokens: set[str]) -> set[str]:
        """See OwnClaims.disown. Any thread may call it."""
        with self._tokens:
            lost = tokens - self._held.keys()
            self._disowned |= lost
        return lost

    def _hold(self, claims: Iterable[Claim]) -> None:
        with self._tokens:
            self._held.update(claim.token for claim in claims)

    def _may_attempt(self, claim: Claim) -> bool:
        """Whether this node still has the claim and the slot that it was made for."""
        return self._lease.lets_begin and claim.token not in self._disowned

    def wanted_shares(self, *, sets_limits: bool) -> Mapping[str, tuple[Limits | None, int]]:
        """See Targets.wanted_shares. Any thread may call it."""
        return self._targets.wanted_shares(self._due.delivers, lambda: self._claiming, sets_limits=sets_limits)

    def take_shares(self, shares: Mapping[str, Share]) -> None:
        """Set this node's shares of the targets' limits. Any thread but the loop may call it."""
        lapses = self._lease.lapses
        if not self._started.is_set() or (shares == self._shares and lapses == self._lease.begins_after):
            return
        last_claims = self._store.last_claims()
        self._shares = shares
        self._inbox.call(partial(self._take_shares, shares, last_claims, lapses))

    def _take_shares(self, shares: Mapping[str, Share], last_claims: Mapping[str, int], lapses: int) -> None:
        self._lease.begins_after = lapses
        self._targets.take_shares(shares, last_claims)
        self._look_again()

    def take_breakers(self, breakers: Mapping[str, str], read_at: float) -> None:
        """See Targets.take_breakers. Any thread may call it."""
        if self._started.is_set():
            self._inbox.call(partial(self._targets.take_breakers, breakers, read_at))

    def _sets_holds(self) -> bool:
        """Whether this node stores what its rules file holds. In a fleet only nodes with the newest rules do."""
        return self._fleet_rules() in (None, self._current.ruleset.hash)

    def _fleet_rules(self) -> str | None:
        return self._node.fleet_rules if self._node is not None else None

    def _cut_off(self) -> None:
        for task in self._attempting:
            task.cancel(LEASE_OVER)

    def _let_go(self, claim: Claim) -> None:
        with self._tokens:
            self._held[claim.token] -= 1
            if self._held[claim.token] <= 0:
                del self._held[claim.token]
                self._disowned.discard(claim.token)

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
        self._first_attempts.begin(clock, self._keep)
        due = self._due.now(now, clock, self._holding)
        wanted = due.free_slots if self._lease.lets_begin else {}
        if not wanted:  # waits are noted only then: after a claim the next check follows at once
            return min(due.pause, self._wait_notes.note(due.waits, now, clock))
        # Forget before the claim: what a commit announces during the claim must not be forgotten.
        self._due.forget(wanted)
        self._claiming = wanted
        try:
            return await self._claim(wanted, now, clock)
        finally:
            self._claiming = {}

    async def _claim(self, wanted: Mapping[str, int], now: int, clock: float) -> float:
        try:
            recorded = [key for key in wanted if self._targets.get(key, clock).records_claims]
            claims = await self._inbox.result(self._store.claim(wanted, now, recorded))
        except RouterError:
            self._remember_due(dict.fromkeys(wanted, now))
            raise
        self._hold(claims)
        if claims and self._holding.is_stale:  # the new claims may be held
            with contextlib.suppress(RouterError):  # no claim may be lost
                await self._holding.refresh()
        counts = dict.fromkeys(wanted, 0)
        for claim in claims:
            counts[claim.delivery.target] += 1
            hold = self._holding.of(claim.delivery) if self._holding.any else None
            if not self._may_attempt(claim):
                self._keep(asyncio.create_task(self._release(claim)))
            elif hold is None:
                self._begin(claim, clock)
            else:
                self._keep(asyncio.create_task(self._give_back(claim, hold)))
        # A target that filled all its free slots may have more deliveries.
        self._remember_due({key: now for key, count in counts.items() if count == wanted[key]})
        return 0.0

    async def _give_back(self, claim: Claim, hold: Hold) -> None:
        await self._holding.give_back(claim, hold)
        self._let_go(claim)

    async def _release(self, claim: Claim) -> None:
        """Give back a claim whose answer came after the lease had ended, or after it was disowned."""
        await self._writes.write(lambda: self._store.release(claim))
        self._let_go(claim)

    async def _take_first(self, claim: Claim, target: Target) -> None:
        self._hold([claim])
        if self._holding.is_stale:
            with contextlib.suppress(RouterError):
                await self._holding.refresh()
        hold = self._holding.of(claim.delivery) if self._holding.any else None
        if hold is None and self._may_attempt(claim):
            await asyncio.wait([self._attempt(claim, target, decides=False)])
            return
        target.take_back()
        self.first_answers.ended(claim.delivery.id, None)
        await (self._release(claim) if hold is None else self._give_back(claim, hold))

    def _begin(self, claim: Claim, clock: float) -> None:
        target = self._targets.get(claim.delivery.target, clock)
        self._attempt(claim, target, decides=target.start())

    def _attempt(self, claim: Claim, target: Target, *, decides: bool) -> asyncio.Task[None]:
        if self._verbose:
            log.debug("attempt begins", **ids(claim), attempt=claim.attempt)
        attempt = asyncio.create_task(self._deliver(claim, target, decides=decides))
        self._attempting.add(attempt)
        attempt.add_done_callback(self._attempting.discard)
        self._keep(attempt)
        return attempt

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver(self, claim: Claim, target: Target, *, decides: bool) -> None:
        """Make one attempt, then settle it. Only the attempt holds one of the target's slots."""
        started_at, clock = self._now_ms(), time.monotonic()
        result, change = AttemptResult(None), None
        try:
            result = await self._attempts.make(claim)
        finally:
            # The target's breaker sees the outcome itself, not what the retry policy makes of it.
            told = None if result.outcome is None else answered(result.outcome)
            change = self._targets.finish(target, told, decides=decides, own=is_own(claim.event))
            self._wake.set()
            self.first_answers.ended(claim.delivery.id, result.outcome.answer if result.outcome else None)
        if result.outcome is None:
            self._let_go(claim)
            return
        now, took = self._now_ms(), time.monotonic() - clock  # the wall clock may have been set meanwhile
        spread = random.uniform(-1, 1)  # noqa: S311 - jitter
        done = settlement(
            claim,
            result.outcome,
            result.policy,
            started_at=started_at,
            now=now,
            spread=spread,
            held_ms=self._holding.held_ms(claim.delivery) if self._holding.ever else 0,
        )
        down = time.monotonic() - target.breaker.since
        done = replace(done, ruleset=result.ruleset, notices=self._own_events.of(claim, done, change, down))
        self._settling.put(FinishedAttempt(claim, result.outcome, done, took))

    async def _drain(self) -> None:
        """Wait for the running attempts, then cancel the rest. A cancelled attempt settles itself as interrupted."""
        if self._running:
            await asyncio.wait(self._running, timeout=self._grace)
        for task in self._running:
            task.cancel()
        if self._running:
            log.warning("attempts cut off by the stop; they will be made again", attempts=len(self._running))
            await asyncio.wait(self._running, timeout=_STOP_SECONDS)
        await self._settling.finish(_STOP_SECONDS)
