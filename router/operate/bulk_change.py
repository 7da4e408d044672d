"""Replay and cancel, of deliveries that were named or that a filter finds: in pages, so that a daemon can work on."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from router.domain.deliveries import Delivery, State
from router.domain.errors import StoreUnavailable
from router.domain.filters import Filter
from router.store.contract import PAGE, OperatorStore

TRIES = 3  #: at a page while the store is busy; each waits some seconds by itself
WRITE_SECONDS = 30.0  #: that one page may take; the store gives up by itself before that
T = TypeVar("T")


@dataclass(frozen=True)
class Verb:
    """One thing that is done with deliveries."""

    name: str
    past: str
    doing: str
    allowed: frozenset[State]
    newest_first: bool
    of: Callable[[OperatorStore, Sequence[str], int], "Future[list[str]]"]
    named: tuple[State, ...]  #: the states in which those that are named are changed, unless others are said
    found: tuple[State, ...]  #: the states of those that a filter finds, unless others are said

    def refusal(self, d: Delivery, states: Sequence[State], saying: str) -> str | None:
        """Why it is not done with this one; none: it is. `saying` is how its asker names a state."""
        if d.state not in self.allowed:
            return _NOT[self.name, d.state]
        if self.name == "replay" and d.blocked:
            return "it waits for an earlier one of its order, and goes in its turn"
        if d.state not in states:
            return f"it is {d.state}; {saying.format(d.state)} would {self.name} it all the same"
        return None


# Cancelled from the newest down, since cancelling a head would let the daemon begin the next one.
REPLAY = Verb(
    "replay",
    "replayed",
    "replaying",
    frozenset(State) - {State.RUNNING},
    newest_first=False,
    of=lambda store, ids, now: store.replay(ids, now),
    named=(State.PENDING, State.DEAD, State.CANCELLED),
    found=(State.DEAD,),
)
CANCEL = Verb(
    "cancel",
    "cancelled",
    "cancelling",
    frozenset({State.PENDING, State.RUNNING, State.DEAD}),
    newest_first=True,
    of=lambda store, ids, now: store.cancel(ids, now),
    named=(State.PENDING, State.RUNNING, State.DEAD),
    found=(State.PENDING,),
)
_NOT = {
    ("replay", State.RUNNING): "an attempt is under way, or was when the daemon ended: its next start goes on with it",
    ("cancel", State.SUCCEEDED): "it has succeeded",
    ("cancel", State.CANCELLED): "it is cancelled already",
}


class ScanPosition(NamedTuple):
    """Where a walk over what a filter finds stands."""

    after: int = 0  #: seq of the last one that was looked at; 0: none yet
    last: int = 0  #: seq of the newest there was when it began; 0: not known yet


class WorkLimit(NamedTuple):
    """How much of a long piece of work is done in one go."""

    items: int | None = None  #: none: all
    is_over: Callable[[], bool] = lambda: False  #: time is up, or the daemon stops

    def reached(self, count: int) -> bool:
        """Whether to leave the rest."""
        return (self.items is not None and count >= self.items) or self.is_over()


UNBOUNDED = WorkLimit()


@dataclass
class ChangeReport:
    """What was done, and what was not and why."""

    verb: Verb
    dry_run: bool
    done: list[Delivery] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  #: (id, why)
    missing: list[str] = field(default_factory=list)  #: named, but not there
    rest: ScanPosition | None = None  #: where to go on, when a bound was reached before the end

    def as_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "dry_run": self.dry_run,
            self.verb.past: len(self.done),
            "deliveries": [d.id for d in self.done],
            "skipped": [{"id": id_, "reason": reason} for id_, reason in self.skipped],
            "not_found": self.missing,
        }


@dataclass(frozen=True)
class BulkChange:
    """One replay or cancel on a store: what it does with each page of deliveries."""

    store: OperatorStore
    report: ChangeReport
    states: Sequence[State]  #: others are left alone
    now_ms: Callable[[], int]
    advance: Callable[[int], None] = lambda _: None  #: told of each step forward
    bound: WorkLimit = UNBOUNDED
    saying: str = "--state {}"  #: how the asker names a state

    def named(self, ids: Iterable[str]) -> None:
        """Do it with those ids, the oldest (to cancel: the newest) first. Raises StoreError."""
        found: list[Delivery] = []
        for id_ in dict.fromkeys(ids):
            delivery = self.store.delivery(id_)
            if delivery is None:
                self.report.missing.append(id_)
            else:
                found.append(delivery)
        found.sort(key=lambda d: d.seq, reverse=self.report.verb.newest_first)
        for at in range(0, len(found), PAGE):
            if self.bound.is_over():
                self.report.skipped += [(d.id, "time was up; ask for it again") for d in found[at:]]
                return
            self._page(found[at : at + PAGE])

    def found(self, which: Filter, place: ScanPosition = ScanPosition()) -> None:  # noqa: B008 - immutable
        """Do it with all that a filter finds now, or with what is left after a place. Raises StoreError."""
        looked_at = 0
        for page, last in _found_now(self.store, which, place, newest_first=self.report.verb.newest_first):
            if self.bound.reached(looked_at):
                self.report.rest = ScanPosition(place.after, last)
                return
            self._page(page)
            looked_at += len(page)
            place = ScanPosition(page[-1].seq, last)

    def _page(self, page: Sequence[Delivery]) -> None:
        report, verb = self.report, self.report.verb
        wanted: list[Delivery] = []
        for delivery in page:
            refusal = verb.refusal(delivery, self.states, self.saying)
            if refusal is None:
                wanted.append(delivery)
            else:
                report.skipped.append((delivery.id, refusal))
        if report.dry_run or not wanted:
            report.done += wanted
        else:
            changed = written(lambda: verb.of(self.store, [d.id for d in wanted], self.now_ms()))
            done = set(changed)
            report.done += [d for d in wanted if d.id in done]
            for d in wanted:
                if d.id not in done:  # it went on between our look and our write
                    now = self.store.delivery(d.id)
                    reason = verb.refusal(now, self.states, self.saying) if now else "it was pruned meanwhile"
                    report.skipped.append((d.id, reason or "it changed meanwhile"))
        self.advance(len(page))


def _found_now(
    store: OperatorStore, which: Filter, place: ScanPosition, *, newest_first: bool
) -> Iterator[tuple[list[Delivery], int]]:
    """What a filter finds, in pages that end, each with the seq of the newest that is meant: what is planned meanwhile
    is not among them, and nothing comes twice."""
    last = place.last
    if not last:
        newest = store.deliveries(which, limit=1, newest_first=True)
        if not newest:
            return
        last = newest[0].seq
    after = place.after or (last + 1 if newest_first else 0)
    while page := store.deliveries(which, limit=PAGE, after=after, newest_first=newest_first):
        page = [d for d in page if d.seq <= last]
        if not page:
            return
        yield page, last
        after = page[-1].seq


def written(write: "Callable[[], Future[T]]") -> T:
    """Write, more than once while the store is busy, and rest as long as it took. Raises StoreError."""
    for left in reversed(range(TRIES)):
        began = time.monotonic()
        try:
            result = write().result(WRITE_SECONDS)
        except StoreUnavailable:
            if not left:
                raise
            continue
        except TimeoutError:
            raise StoreUnavailable("the store did not commit in time; is its disk slow or full?") from None
        # SQLite's lock is not fair: without a rest, a daemon's commits could wait behind all of ours.
        time.sleep(time.monotonic() - began)
        return result
    raise AssertionError("unreachable")


def narrowed(which: Filter) -> bool:
    """Whether a filter says more than a state."""
    return replace(which, states=()) != Filter()


def deliveries_of(store: OperatorStore, event_ids: Iterable[str], report: ChangeReport) -> list[str]:
    """The ids of those events' deliveries; events that are not there go to the report. Raises StoreError."""
    found: list[str] = []
    for event_id in dict.fromkeys(event_ids):
        ids = [d.id for d in store.deliveries(Filter(event_id=event_id), limit=10_000)]
        # Its deliveries tell as well that an event is there, without reading its body.
        if not ids and store.event(event_id) is None:
            report.missing.append(event_id)
        found += ids
    return found
