"""Claims due deliveries, attempts them, settles them: one asyncio loop in its own thread."""

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TypeVar

import orjson
import structlog

from router.actions.forward.client import Client
from router.delivery.breaker import answered
from router.delivery.clock import Clock
from router.delivery.definitions import Compile, Definition, Definitions
from router.delivery.retry import settlement
from router.delivery.settling import FinishedAttempt, Settling, ids
from router.delivery.target import Target
from router.delivery.waits import NAME as WAITS
from router.delivery.waits import Waits, parsed_note
from router.domain.deliveries import Claim
from router.domain.errors import PayloadError, RenderError, RouterError, StoreUnavailable
from router.domain.events import Event, ParsedEvent
from router.domain.outcomes import Outcome
from router.domain.retry_policy import RetryPolicy
from router.domain.target_state import BreakerState, TargetLoad, Wait
from router.observe.metrics import Metrics
from router.observe.redaction import Redactor
from router.plugins.action import AttemptInput, Tools
from router.plugins.target import TargetSpec
from router.rules.parsing import parse_event
from router.rules.ruleset import CurrentRuleset
from router.rules.source import Source
from router.runtime.loop_inbox import Inbox
from router.runtime.thread_pool import Threads
from router.store.contract import Store

RESCAN_SECONDS = 1.0  #: how often the store is asked what is due, for what no commit of ours announced
_STORE_RETRY_SECONDS = (0.05, 0.2, 1.0)  #: waits before a settle or claim that couldn't commit is tried again
_FILE_THREADS = 64  #: appends under way at once; those on a mount that is gone hold theirs for ever
_SPAWN_THREADS = 16  #: programs being started at once; each takes a millisecond, unless its mount is gone
_DEADLINE_SECONDS = 3.0  #: what a stop allows for the settles of attempts that it cut off

T = TypeVar("T")
log = structlog.get_logger()


class Dispatcher:
    """Owns the delivery loop.

    `start`, `stop`, `ping`, `alive` and `loads` may be called from any thread; `_due_soon` comes from the store's; all
    else belongs to the loop.
    """

    def __init__(
        self,
        current: CurrentRuleset,
        store: Store,
        compile_recorded: Compile,
        now_ms: Callable[[], int],
        told_to_stop: Callable[[], bool] = lambda: False,
        metrics: Metrics | None = None,
    ) -> None:
        self._current = current
        self._store = store
        self._now_ms = now_ms
        self._told_to_stop = told_to_stop
        self._metrics = metrics or Metrics()
        self._definitions = Definitions(current, store, compile_recorded)
        self._thread = threading.Thread(target=self._main, name="delivery", daemon=True)
        self._started = threading.Event()
        self._stopping = False
        self._targets: dict[str, Target] = {}
        self._specs: tuple[object, Mapping[str, TargetSpec]] = (None, {})
        self._masks: tuple[object, Redactor] = (None, Redactor({}))
        self._verbose: bool = log.is_enabled_for(logging.DEBUG)  # asked once: a line that nobody wants costs nothing
        self._due: dict[str, int] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._clock = Clock()
        self._waits = Waits(store)
        self._recalled = False
        self._last_claims: Mapping[str, int] = {}
        self._shortening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start delivering."""
        self._thread.start()
        self._started.wait()

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive() and not self._stopping

    def loads(self) -> list[TargetLoad]:
        """How each target stands: those of the current rules, and those that something was ever due for."""
        now = time.monotonic()
        # The copy is one step of the interpreter's; each number is what it was at about this moment.
        found = {target.spec.key: target.load(now) for target in list(self._targets.values())}
        for action in self._current.ruleset.actions.values():
            spec = action.action.target
            load = found.get(spec.key)
            if load is None:
                found[spec.key] = Target(spec, now).load(now)
            elif load.concurrency != spec.concurrency or load.rate != spec.rate:  # nothing was due since a reload
                found[spec.key] = replace(load, concurrency=spec.concurrency, rate=spec.rate)
        return list(found.values())

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the loop call a function when its turn comes; any thread may ask, once it has been started."""
        self._inbox.say(answer)

    def stop(self, grace: float) -> None:
        """Claim nothing more, let running attempts end within `grace` seconds, cut off the rest, end the thread.

        What was cut off is settled as interrupted, uncounted; so this must come before the store closes.
        """
        if not self._started.is_set():
            return
        self._grace = grace
        self._inbox.say(self._begin_stop)
        self._thread.join(grace + 2 * _DEADLINE_SECONDS)

    def _begin_stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def _due_soon(self, due: Mapping[str, int]) -> None:
        self._inbox.say(partial(self._note, due))

    def _note(self, due: Mapping[str, int]) -> None:
        for target, at in due.items():
            self._due[target] = min(at, self._due.get(target, at))
        self._wake.set()

    def _main(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._inbox = Inbox()
        self._settling = Settling(self._store, self._commit, self._metrics)
        self._wake = asyncio.Event()
        self._grace = 0.0
        self._store.on_due(self._due_soon)
        with contextlib.suppress(RouterError):  # a store that can't be read now is asked again before the first claim
            await self._recall()
        self._started.set()
        files, processes = Threads("append", _FILE_THREADS), Threads("spawn", _SPAWN_THREADS)
        self._tools = Tools(Client(), files, processes, self._told_to_stop)
        try:
            await self._tools.client.check()
            await self._dispatch()
            await self._drain()
        finally:
            await self._tools.client.close()
            self._tools.files.close()
            self._tools.processes.close()

    async def _dispatch(self) -> None:
        rescan_at = 0.0
        while not self._stopping:
            self._mind_the_clock()
            try:
                if not self._recalled:
                    await self._recall()
                if time.monotonic() >= rescan_at:
                    self._note(await asyncio.to_thread(self._store.due))
                    rescan_at = time.monotonic() + RESCAN_SECONDS
                self._wake.clear()
                pause = await self._claim_due()
            except RouterError as error:
                log.error("store can't be read or written; deliveries wait", error=str(error))
                pause = _STORE_RETRY_SECONDS[-1]
                rescan_at = time.monotonic() + pause  # it may be the look for what is due that failed
                self._wake.clear()  # a claim that failed has set it
            pause = min(pause, rescan_at - time.monotonic())
            if pause > 0 and not self._stopping:
                alarm = asyncio.get_running_loop().call_later(pause, self._wake.set)
                await self._wake.wait()
                alarm.cancel()

    async def _recall(self) -> None:
        """Go on with the rates and breakers of the process before this one. Raises RouterError."""
        self._last_claims = await asyncio.to_thread(self._store.last_claims)
        notes = await asyncio.to_thread(self._store.notes)
        self._recalled = True
        breakers = parsed_note(notes.get("breakers"))
        for key, noted in breakers.items():
            if self._is_known(key) and isinstance(noted, dict):
                self._target(key, time.monotonic()).breaker.resume(noted, self._now_ms(), time.monotonic())
        self._note_breakers()
        self._waits.begin(notes.get(WAITS))

    def _mind_the_clock(self) -> None:
        if self._shortening is not None and not self._shortening.done():
            return
        if self._clock.look(self._now_ms(), time.monotonic()):
            self._shortening = asyncio.create_task(self._shorten_waits())

    async def _shorten_waits(self) -> None:
        after: int | None = 0
        try:
            while after is not None and not self._stopping:
                after = await self._inbox.result(self._store.shorten_waits(self._now_ms(), after))
        except RouterError:
            self._clock.again(time.monotonic())

    async def _claim_due(self) -> float:
        """Claim what is due and has room, start its attempts; returns seconds until there may be more to do."""
        now, clock = self._now_ms(), time.monotonic()
        pause = RESCAN_SECONDS
        wanted: dict[str, int] = {}
        waits: dict[str, tuple[Wait, float | None]] = {}
        for key, at in self._due.items():
            target = self._target(key, clock)
            if at > now:
                pause = min(pause, (at - now) / 1000)
            elif free := target.free(clock):
                wanted[key] = free
            else:
                soon = target.free_in(clock)
                if (wait := target.waits(clock)) is not None:
                    waits[key] = wait
                if self._verbose:
                    breaker = target.breaker.standing.value
                    log.debug(
                        "target takes nothing now", target=key, running=target.running, breaker=breaker, seconds=soon
                    )
                pause = pause if soon is None else min(pause, soon)
        if not wanted:
            return min(pause, self._waits.note(waits, now, clock))
        # Forget before claiming: what a commit announces while the claim is under way must not be forgotten after it.
        for key in wanted:
            del self._due[key]
        try:
            paced = [key for key in wanted if self._targets[key].paced]
            claims = await self._inbox.result(self._store.claim(wanted, now, paced))
        except RouterError:
            self._note(dict.fromkeys(wanted, now))
            raise
        counts = dict.fromkeys(wanted, 0)
        for claim in claims:
            counts[claim.delivery.target] += 1
            self._begin(claim)
        more = {key: now for key, count in counts.items() if count == wanted[key]}
        self._note(more)
        return 0.0

    def _begin(self, claim: Claim) -> None:
        target = self._targets[claim.delivery.target]
        decides = target.start()
        if self._verbose:
            log.debug("attempt begins", **ids(claim), attempt=claim.attempt)
        task = asyncio.create_task(self._deliver(claim, target, decides=decides))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _finish(self, target: Target, answered: bool | None, *, decides: bool) -> None:
        before = target.breaker.standing
        target.finish(answered, time.monotonic(), decides=decides)
        now = target.breaker.standing
        self._wake.set()
        if now is before:
            return
        if now is BreakerState.CLOSED:
            log.info("target answers again", target=target.spec.key)
        elif before is BreakerState.CLOSED:
            failures, pause = target.breaker.failures, target.breaker.until - time.monotonic()
            log.warning(
                "target fails; its deliveries wait", target=target.spec.key, failures=failures, seconds=round(pause, 1)
            )
        self._note_breakers()

    def _note_breakers(self) -> None:
        """Tell the store, for `status`: what is not closed."""
        now_ms, now = self._now_ms(), time.monotonic()
        found = {
            key: target.breaker.note(now_ms, now)
            for key, target in self._targets.items()
            if target.breaker.standing is not BreakerState.CLOSED
        }
        # Nobody waits for it: a note that can't be written is as old as the store is.
        self._store.put_note("breakers", orjson.dumps(found).decode())

    def _target(self, key: str, clock: float) -> Target:
        spec = self._spec(key)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = Target(spec, clock)
            if (at := self._last_claims.get(key)) is not None:
                target.resume((self._now_ms() - at) / 1000)
        before = target.breaker.standing
        target.follow(spec)
        if target.breaker.standing is not before:
            self._note_breakers()
        return target

    def _spec(self, key: str) -> TargetSpec:
        # A target that the current rules don't name is one of removed rules: one at a time is always safe.
        return self._current_specs().get(key) or TargetSpec(key, concurrency=1)

    def _is_known(self, key: str) -> bool:
        return key in self._current_specs()

    def _current_specs(self) -> Mapping[str, TargetSpec]:
        ruleset = self._current.ruleset
        if self._specs[0] is not ruleset:
            specs = {action.action.target.key: action.action.target for action in ruleset.actions.values()}
            self._specs = (ruleset, specs)
        return self._specs[1]

    async def _deliver(self, claim: Claim, target: Target, *, decides: bool) -> None:
        """Attempt, which holds one of the target's slots, and have it settled, which doesn't."""
        started_at, clock = self._now_ms(), time.monotonic()
        outcome: Outcome | None = None
        followed: str | None = None
        try:
            definition = await self._definitions.of(claim.delivery)
            if isinstance(definition, str):
                outcome, policy = Outcome.failed(definition), RetryPolicy()
            else:
                followed = definition.ruleset.hash
                outcome, policy = await self._attempt(claim, definition)
        except asyncio.CancelledError:
            outcome, policy = Outcome.interrupted("the daemon stopped"), RetryPolicy()
        except Exception as error:  # noqa: BLE001 - the border of the loop: one delivery must not end it
            outcome, policy = _fault(claim, error), RetryPolicy()
        finally:
            # Judged as it was, whatever the policy makes of it.
            self._finish(target, None if outcome is None else answered(outcome), decides=decides)
        if outcome is None:
            return
        now, took = self._now_ms(), time.monotonic() - clock  # the wall clock may have been set meanwhile
        done = settlement(claim, outcome, policy, started_at=started_at, now=now, spread=random.uniform(-1, 1))  # noqa: S311 - jitter
        self._settling.put(FinishedAttempt(claim, outcome, replace(done, ruleset=followed), took))

    async def _attempt(self, claim: Claim, definition: Definition) -> tuple[Outcome | None, RetryPolicy]:
        """One attempt with the policy of its action; no outcome when the delivery went to another target instead."""
        action, policy = definition.action.action, definition.action.retry
        if claim.delivery.interruptions and not policy.retry_interrupted:
            return Outcome.failed("an attempt was interrupted, and the action says interrupted: dead"), policy
        if action.target.key != claim.delivery.target:
            if self._verbose:
                log.debug("delivery moved to the target that its action now has", **ids(claim), to=action.target.key)
            await self._commit(lambda: self._store.refile(claim, action.target.key))
            return None, policy
        try:
            job = self._job(claim, definition)
            return self._masks_of(job).over(await action.attempt(job, self._tools)), policy
        except asyncio.CancelledError:
            why = "" if policy.retry_interrupted else ", and the action says interrupted: dead"
            return Outcome.interrupted(f"the daemon stopped{why}"), policy
        except Exception as error:  # noqa: BLE001 - by the action's own policy: a command may have run
            return _fault(claim, error), policy

    def _job(self, claim: Claim, definition: Definition) -> AttemptInput:
        recorded, current = definition.ruleset, self._current.ruleset
        source = current.sources.get(claim.event.source) or recorded.sources.get(claim.event.source)
        # The current secrets count: a recorded ruleset's may have been rotated since.
        secrets = current.secrets if recorded is current else {**recorded.secrets, **current.secrets}
        # Those of the rules that the delivery goes by; of a source that they don't know, the current ones'.
        name = claim.event.source
        passing = recorded.passing.get(name) or current.passing.get(name) or frozenset()
        return AttemptInput(claim, partial(_parse, claim.event, source), secrets, passing)

    def _masks_of(self, job: AttemptInput) -> Redactor:
        """What hides the job's secrets; kept while they are the current rules'."""
        if job.secrets is not self._current.ruleset.secrets:
            return Redactor(job.secrets)
        if self._masks[0] is not job.secrets:
            self._masks = (job.secrets, Redactor(job.secrets))
        return self._masks[1]

    async def _commit(self, write: "Callable[[], Future[T]]") -> T:
        """Write until it is committed: the target has been called, so only the store may be called again."""
        tries = 0
        while True:
            try:
                # A stop may cancel the attempt, never the record of what came of it: the store goes on writing.
                return await self._inbox.result(write())
            except StoreUnavailable as error:
                if tries == 0:
                    log.error("settle can't be committed; kept and tried again", error=str(error))
                await asyncio.sleep(_STORE_RETRY_SECONDS[min(tries, len(_STORE_RETRY_SECONDS) - 1)])
                tries += 1

    async def _drain(self) -> None:
        """Wait for running attempts, then cut them off; each settles itself as interrupted."""
        if self._running:
            await asyncio.wait(self._running, timeout=self._grace)
        for task in self._running:
            task.cancel()
        if self._running:
            log.warning("attempts cut off by the stop; they will be made again", attempts=len(self._running))
            await asyncio.wait(self._running, timeout=_DEADLINE_SECONDS)
        await self._settling.finish(_DEADLINE_SECONDS)


def _fault(claim: Claim, error: Exception) -> Outcome:
    log.error("attempt failed by a fault of ours", **ids(claim), exc_info=error)
    return Outcome.retry(f"internal error ({type(error).__name__})")


def _parse(event: Event, source: Source | None) -> ParsedEvent:
    """Parse an event for those that look into it; most forwards send it on as it is. Raises RenderError."""
    try:
        return parse_event(event, source)
    except PayloadError as error:
        raise RenderError(f"the payload can't be parsed by the current settings of its source: {error}") from None
