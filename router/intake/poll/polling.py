"""Polls the sources of the running rules. Each source has a task of its own; all run in one loop."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from router.client.client import Client, open_client
from router.domain.errors import StoreError
from router.domain.own_events import shortened
from router.domain.polls import PolledEvent, PollResult, PollState
from router.intake.poll.fetch import PollFailure
from router.intake.poll.loop_store import LoopStore
from router.intake.poll.one_poll import OnePoll, Overtaken, Polled
from router.intake.poll.spec import PollSpec
from router.intake.poll.state import after_failure, new_state
from router.intake.poll.timer import PollTimer
from router.intake.poll.timing import backoff_seconds, wait_seconds
from router.observe.metrics import Metrics
from router.rules.notices import notice
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.rules.source import Source
from router.runtime.loop_inbox import Inbox
from router.runtime.thread_pool import open_threads
from router.store.contract import Store

LEAD_SECONDS = 0.5  #: between two checks whether this node polls the source
FORGET_MS = 7 * 86_400_000  #: how long after its last poll a source that left the rules is forgotten
SWEEP_SECONDS = 3600.0  #: between two searches for such sources
READERS = 4  #: threads that read the store

log = structlog.get_logger()


class Polling:
    """`start` and `stop` belong to one thread, `rules_changed` to any."""

    def __init__(
        self,
        store: Store,
        current: CurrentRuleset,
        now_ms: Callable[[], int],
        metrics: Metrics,
        leads: Callable[[str], bool] = lambda _: True,
        failing_seconds: float = 300.0,
    ) -> None:
        """`leads`: whether this node polls a source. `failing_seconds`: how long a source must fail before an event
        reports it."""
        self._store = store
        self._current = current
        self._now_ms = now_ms
        self._metrics = metrics
        self._leads = leads
        self._failing_seconds = failing_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self._stopping = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="polls", daemon=True)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._started = threading.Event()
        self._states: dict[str, PollState] = {}  #: by source, as this process wrote them last

    def start(self) -> None:
        """Start polling."""
        self._thread.start()
        self._started.wait(10)

    def stop(self) -> None:
        """Stop polling. A request under way is cancelled, and the next start repeats it. Call this before the store
        closes."""
        self._stopping = True
        self.rules_changed()
        if self._thread.is_alive():
            self._thread.join(10)

    def rules_changed(self) -> None:
        """Look at the current rules again."""
        loop, changed = self._loop, self._changed
        if loop is not None and changed is not None and not loop.is_closed():
            loop.call_soon_threadsafe(changed.set)

    def states(self) -> list[PollState]:
        """The states of the sources that are polled here. Any thread may ask."""
        return sorted(self._states.copy().values(), key=lambda state: state.source)

    async def _run(self) -> None:
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        while not self._stopping and not self._names():  # most rules have no polls and need no client
            await self._changed.wait()
            self._changed.clear()
        if self._stopping:
            return
        async with open_client() as client, open_threads("poll-store", READERS) as threads:
            store = LoopStore(self._store, threads, Inbox())
            while not self._stopping:
                self._changed.clear()
                self._look(client, store)
                try:
                    await asyncio.wait_for(self._changed.wait(), SWEEP_SECONDS)
                except TimeoutError:
                    await self._forget(store)
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _look(self, client: Client, store: LoopStore) -> None:
        """Start tasks for new sources, and wake all others so that they read their settings."""
        for name in self._names():
            if name not in self._tasks:
                self._wakes[name] = asyncio.Event()
                self._tasks[name] = asyncio.create_task(self._serve(name, client, store))
        for wake in self._wakes.values():
            wake.set()

    def _names(self) -> list[str]:
        """The names of the polled sources in the current rules."""
        sources = self._current.ruleset.sources.values()
        return [source.name for source in sources if source.poll is not None and source.enabled]

    def _source(self, name: str) -> tuple[Source, PollSpec] | None:
        source = self._current.ruleset.sources.get(name)
        if source is None or not source.enabled or not isinstance(source.poll, PollSpec):
            return None
        return source, source.poll

    async def _serve(self, name: str, client: Client, store: LoopStore) -> None:
        """Poll one source until it leaves the rules. Each name has one such task, so that it is never polled twice at
        once."""
        timer = PollTimer(time.monotonic())
        try:
            while (found := self._source(name)) is not None:
                try:
                    await self._turn(name, *found, timer, client, store)
                except (StoreError, Overtaken) as error:
                    if isinstance(error, StoreError):
                        log.warning(
                            "poll can't be stored at the moment; it will be tried again", source=name, error=str(error)
                        )
                    timer.not_stored(found[1])
                except Exception:  # the task must continue whatever happens
                    log.exception("poll failed by a fault of ours", source=name)
                    timer.due = time.monotonic() + found[1].every
        finally:
            del self._tasks[name], self._wakes[name]
            self._states.pop(name, None)

    async def _turn(
        self, name: str, source: Source, spec: PollSpec, timer: PollTimer, client: Client, store: LoopStore
    ) -> None:
        """Wait a little, or poll."""
        wake = self._wakes[name]
        wake.clear()
        timer.asked = False
        if not self._leads(name):
            timer.led, timer.due = False, 0.0
            self._states.pop(name, None)
            await _wait(wake, LEAD_SECONDS)
            return
        if not timer.led and time.monotonic() >= timer.due:
            timer.lead(spec, await store.state(name), self._now_ms())
        timer.follow(spec)
        if time.monotonic() < timer.due:
            await _wait(wake, timer.due - time.monotonic())
            return
        await self._poll(source, spec, timer, client, store)

    async def _poll(self, source: Source, spec: PollSpec, timer: PollTimer, client: Client, store: LoopStore) -> None:
        release = self._store.hold_poll(source.name)
        if release is None:  # a command is polling it
            timer.due = time.monotonic() + LEAD_SECONDS
            return
        try:
            await self._poll_held(source, spec, timer, client, store)
        finally:
            release()

    async def _poll_held(
        self, source: Source, spec: PollSpec, timer: PollTimer, client: Client, store: LoopStore
    ) -> None:
        before = await store.state(source.name)
        state = new_state(source.name, spec, before, self._now_ms())
        wait = wait_seconds(spec.every)
        state = replace(state, next_at=self._now_ms() + round(1000 * wait))
        one = OnePoll(
            client,
            source,
            spec,
            lambda: self._ruleset(source.name, spec),
            store,
            self._now_ms,
            state,
            before.token if before is not None else "",
            lambda events: self._tell_events(source, events),
        )
        timer.asked = True
        try:
            polled = await one.run()
        except PollFailure as failure:
            wait = await self._failed(one, failure, store)
        else:
            self._succeeded(source.name, spec, before, polled)
        timer.polled(wait)

    def _ruleset(self, name: str, spec: PollSpec) -> Ruleset | None:
        """The current rules, if they still have the same source."""
        found = self._source(name)
        return self._current.ruleset if found is not None and found[1].fingerprint == spec.fingerprint else None

    def _succeeded(self, name: str, spec: PollSpec, before: PollState | None, polled: Polled) -> None:
        self._states[name] = polled.state
        self._metrics.polled(name, "changed" if polled.changed else "unchanged")
        if polled.left:
            log.info("more pages than max_pages; the next poll continues", source=name, url=spec.place)
        if before is not None and before.failures:
            log.info("source answers again", source=name, url=spec.place, failures=before.failures)
        if before is not None and before.told:
            seconds = (self._now_ms() - before.failing_since) // 1000
            self._tell("source.recovered", name, {"failing_seconds": seconds})

    async def _failed(self, one: OnePoll, failure: PollFailure, store: LoopStore) -> float:
        """Record a failure. Returns how long to wait."""
        now, name, spec = self._now_ms(), one.source.name, one.spec
        wait = backoff_seconds(spec.every, one.state.failures + 1, failure.retry_after)
        state = after_failure(one.state, str(failure), now, wait)
        self._metrics.polled(name, "failed")
        log.warning(
            "poll failed",
            source=name,
            url=spec.place,
            error=state.error,
            failures=state.failures,
            next_seconds=round(wait, 1),
        )
        failing_ms = now - state.failing_since
        if not state.told and failing_ms >= self._failing_seconds * 1000:
            facts = {"error": shortened(state.error), "failures": state.failures, "failing_seconds": failing_ms // 1000}
            self._tell("source.failing", name, facts)
            state = replace(state, told=True)
        if not await store.take(PollResult(one.token, state, now=now)):
            raise Overtaken
        self._states[name] = state
        return wait

    def _tell_events(self, source: Source, events: Sequence[PolledEvent]) -> None:
        """Log one line for each event, as for received ones."""
        for one in events:
            matched, deliveries = list(one.routing.matched), len(one.plan)
            event_id = one.event.id
            log.info("event received", event_id=event_id, source=source.name, matched=matched, deliveries=deliveries)
            self._metrics.taken(source.name, matched)
            for rule, reason in one.routing.errors:
                self._metrics.not_judged(rule)
                log.warning("rule could not be judged, so it is unmatched", rule=rule, event_id=event_id, reason=reason)

    def _tell(self, kind: str, name: str, facts: Mapping[str, object]) -> None:
        made = notice(self._current.ruleset, kind, name, {"source": {"name": name, **facts}}, self._now_ms())
        if made is not None:
            self._store.tell(made)  # nothing waits for it: the log has the same event
            log.info("own event", kind=kind, subject=name, event_id=made.event.id, count=1)

    async def _forget(self, store: LoopStore) -> None:
        """Forget sources that left the rules long ago."""
        try:
            known, before = self._current.ruleset.sources, self._now_ms() - FORGET_MS
            states = await store.states()
            old = [name for name, one in states.items() if name not in known and one.polled_at < before]
            self._store.forget_polls(old)
        except StoreError as error:
            log.warning("polled sources can't be forgotten at the moment; it will be tried again", error=str(error))


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(wake.wait(), seconds)
    except TimeoutError:
        return
