"""Replay and cancel, of deliveries that were named or that a filter finds: in pages, so that a daemon can work on."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import click

from router.commands.options import now_ms
from router.commands.progress import progress
from router.errors import StoreUnavailable
from router.listing import counted, print_json, safe
from router.model import Delivery, Filter, State
from router.store.base import PAGE

if TYPE_CHECKING:
    from router.store.sqlite import SqliteStore

TRIES = 3  #: at a page while the store is busy; each waits some seconds by itself
T = TypeVar("T")


@dataclass(frozen=True)
class Verb:
    """One thing that is done with deliveries."""

    name: str
    past: str
    doing: str
    allowed: frozenset[State]
    newest_first: bool
    of: Callable[["SqliteStore", Sequence[str], int], "Future[list[str]]"]

    def refusal(self, d: Delivery, states: Sequence[State]) -> str | None:
        """Why it is not done with this one; none: it is."""
        if d.state not in self.allowed:
            return _NOT[self.name, d.state]
        if self.name == "replay" and d.blocked:
            return "it waits for an earlier one of its order, and goes in its turn"
        if d.state not in states:
            return f"it is {d.state}; --state {d.state} would {self.name} it all the same"
        return None


# Cancelled from the newest down, since cancelling a head would let the daemon begin the next one.
REPLAY = Verb(
    "replay",
    "replayed",
    "replaying",
    frozenset(State) - {State.RUNNING},
    newest_first=False,
    of=lambda store, ids, now: store.replay(ids, now),
)
CANCEL = Verb(
    "cancel",
    "cancelled",
    "cancelling",
    frozenset({State.PENDING, State.RUNNING, State.DEAD}),
    newest_first=True,
    of=lambda store, ids, now: store.cancel(ids, now),
)
_NOT = {
    ("replay", State.RUNNING): "an attempt is under way, or was when the daemon ended: its next start goes on with it",
    ("cancel", State.SUCCEEDED): "it has succeeded",
    ("cancel", State.CANCELLED): "it is cancelled already",
}


@dataclass
class Report:
    """What was done, and what was not and why."""

    verb: Verb
    dry_run: bool
    by_name: bool  #: the deliveries were named one by one, so each that was left alone is worth a line
    done: list[Delivery] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  #: (id, why)
    missing: list[str] = field(default_factory=list)  #: named, but not there

    def print(self, *, as_json: bool, owner: int | None) -> None:
        """For people, or for programs."""
        if as_json:
            print_json(
                {
                    "dry_run": self.dry_run,
                    self.verb.past: len(self.done),
                    "deliveries": [d.id for d in self.done],
                    "skipped": [{"id": id_, "reason": reason} for id_, reason in self.skipped],
                    "not_found": self.missing,
                }
            )
            return
        if self.dry_run:
            for d in self.done:
                click.echo(f"{d.id}  {d.state.value:9}  {safe(f'{d.rule}/{d.action}')}  {safe(d.target)}")
        click.echo(f"{'would have ' if self.dry_run else ''}{self.verb.past} {counted(len(self.done), 'delivery')}")
        tell_of_others("delivery", self.skipped, self.missing, by_name=self.by_name)
        if self.done and self.verb is REPLAY and not self.dry_run and owner is None:
            click.echo("no daemon runs on this store: they are delivered once one starts", err=True)


def tell_of_others(noun: str, skipped: Sequence[tuple[str, str]], missing: Sequence[str], *, by_name: bool) -> None:
    """What was left alone, one by one or how many by reason, and what is not there."""
    if by_name:
        for id_, reason in skipped:
            click.echo(f"left alone {id_}: {safe(reason)}", err=True)
    else:
        for reason, count in Counter(reason for _, reason in skipped).items():
            click.echo(f"left alone {counted(count, noun)}: {safe(reason)}", err=True)
    for id_ in missing:
        click.echo(f"not found: {safe(id_)}", err=True)


def change_named(store: "SqliteStore", report: Report, ids: Sequence[str], states: Sequence[State]) -> None:
    """Do it with those ids, the oldest (to cancel: the newest) first. Raises StoreError."""
    found: list[Delivery] = []
    for id_ in dict.fromkeys(ids):
        delivery = store.delivery(id_)
        if delivery is None:
            report.missing.append(id_)
        else:
            found.append(delivery)
    found.sort(key=lambda d: d.seq, reverse=report.verb.newest_first)
    pages = (found[at : at + PAGE] for at in range(0, len(found), PAGE))
    _change(store, report, pages, states, len(found))


def change_found(store: "SqliteStore", report: Report, which: Filter) -> None:
    """Do it with all that a filter finds now. Raises StoreError."""
    _change(store, report, found_now(store, which, newest_first=report.verb.newest_first), which.states, None, which)


def found_now(store: "SqliteStore", which: Filter, *, newest_first: bool) -> Iterator[list[Delivery]]:
    """What a filter finds, in pages that end: what is planned meanwhile is not among them, and nothing comes twice."""
    newest = store.deliveries(which, limit=1, newest_first=True)
    if not newest:
        return
    last = newest[0].seq
    after = last + 1 if newest_first else 0
    while page := store.deliveries(which, limit=PAGE, after=after, newest_first=newest_first):
        page = [d for d in page if d.seq <= last]
        if not page:
            return
        yield page
        after = page[-1].seq


def _change(
    store: "SqliteStore",
    report: Report,
    pages: Iterator[list[Delivery]],
    states: Sequence[State],
    total: int | None,
    which: Filter | None = None,
) -> None:
    if total is None and which is not None:
        total = store.count(which)
    with progress(report.verb.doing, total) as advance:
        try:
            for page in pages:
                _page(store, report, page, states)
                advance(len(page))
        except BaseException:
            if report.done and not report.dry_run:
                click.echo(f"stopped; so far {report.verb.past} {counted(len(report.done), 'delivery')}", err=True)
            raise


def _page(store: "SqliteStore", report: Report, page: Sequence[Delivery], states: Sequence[State]) -> None:
    wanted: list[Delivery] = []
    for delivery in page:
        refusal = report.verb.refusal(delivery, states)
        if refusal is None:
            wanted.append(delivery)
        else:
            report.skipped.append((delivery.id, refusal))
    if report.dry_run or not wanted:
        report.done += wanted
        return
    changed = written(lambda: report.verb.of(store, [d.id for d in wanted], now_ms()))
    done = set(changed)
    report.done += [d for d in wanted if d.id in done]
    for d in wanted:
        if d.id not in done:  # it went on between our look and our write
            now = store.delivery(d.id)
            reason = report.verb.refusal(now, states) if now else "it was pruned meanwhile"
            report.skipped.append((d.id, reason or "it changed meanwhile"))


def written(write: "Callable[[], Future[T]]") -> T:
    """Write, more than once while the store is busy, and rest as long as it took. Raises StoreError."""
    for left in reversed(range(TRIES)):
        began = time.monotonic()
        try:
            result = write().result()
        except StoreUnavailable:
            if not left:
                raise
            continue
        # SQLite's lock is not fair: without a rest, a daemon's commits could wait behind all of ours.
        time.sleep(time.monotonic() - began)
        return result
    raise AssertionError("unreachable")


def narrowed(which: Filter) -> bool:
    """Whether a filter says more than a state."""
    return replace(which, states=()) != Filter()
