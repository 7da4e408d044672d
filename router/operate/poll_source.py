"""Polls a source once, for a command. The result is stored, or only shown."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from router.client.client import open_client
from router.domain.errors import RouterError
from router.domain.polls import PolledEvent, PollResult, PollState
from router.intake.poll.fetch import PollFailure
from router.intake.poll.one_poll import OnePoll, Overtaken
from router.intake.poll.spec import PollSpec
from router.intake.poll.state import new_state
from router.rules.ruleset import Ruleset
from router.rules.source import Source
from router.store.contract import OperatorStore

WAIT_SECONDS = 60.0  #: limit of the wait for another poll: two answers as slow as allowed
LOOK_SECONDS = 0.1  #: between two checks whether it ended


class PollError(RouterError):
    """A poll that a command asked for failed."""


@dataclass(frozen=True, slots=True)
class PollReport:
    """The result of a poll."""

    items: int  #: on all its pages
    first: bool  #: whether it was the first poll of this source
    changed: bool  #: whether an answer differed from the last one
    events: Sequence[PolledEvent]
    state: PollState


@dataclass(slots=True)
class _CommandStore:
    """The store for one poll. With `dry` nothing is written."""

    store: OperatorStore | None
    ruleset: Ruleset
    dry: bool
    seen: set[str] = field(default_factory=set)

    async def known(self, series: str, ids: Sequence[str]) -> set[str]:
        """See StoreReader.known_items."""
        self.seen.update(ids)
        return self.store.known_items(series, ids) if self.store is not None else set()

    async def take(self, result: PollResult) -> bool:
        """See OperatorStore.take_poll."""
        if self.dry or self.store is None:
            return True
        text = self.ruleset.text if result.events else None
        return self.store.take_poll(replace(result, ruleset=text)).result()


def poll_once(
    store: OperatorStore | None, ruleset: Ruleset, source: Source, spec: PollSpec, now: int, *, dry: bool
) -> PollReport:
    """Poll a source at `now` (ms). Raises PollError, StoreError.

    A dry run shows the events of a first poll too, whatever `start` says. Without a store no earlier poll is known.
    """
    release = _held(store, source)
    try:
        return _poll_held(store, ruleset, source, spec, now, dry=dry)
    finally:
        release()


def _held(store: OperatorStore | None, source: Source) -> Callable[[], None]:
    """Wait until nobody else polls the source. Returns the function that lets others poll again."""
    end = time.monotonic() + WAIT_SECONDS
    while store is not None:
        if (release := store.hold_poll(source.name)) is not None:
            return release
        if time.monotonic() > end:
            raise PollError(f"source {source.name} has been polled by a daemon for {WAIT_SECONDS:g} s; try again")
        time.sleep(LOOK_SECONDS)
    return lambda: None


def _poll_held(
    store: OperatorStore | None, ruleset: Ruleset, source: Source, spec: PollSpec, now: int, *, dry: bool
) -> PollReport:
    before = store.poll_of(source.name) if store is not None else None
    state = new_state(source.name, spec, before, now)
    taking, events = _CommandStore(store, ruleset, dry), list[PolledEvent]()
    shown = replace(spec, start="all") if dry else spec
    wanted = replace(source, poll=shown)

    async def poll() -> PollReport:
        async with open_client() as client:
            token = before.token if before is not None else ""
            one = OnePoll(client, wanted, shown, lambda: ruleset, taking, lambda: now, state, token, events.extend)
            polled = await one.run()
        items = len(taking.seen) if spec.has_items else int(polled.changed)
        return PollReport(items, not state.started, polled.changed, events, polled.state)

    try:
        return asyncio.run(poll())
    except PollFailure as failure:
        raise PollError(f"source {source.name}: {failure}") from None
    except Overtaken:
        raise PollError(f"source {source.name} was polled by a daemon at the same moment; try again") from None
