"""A plan for the newest events only, limited by their number and by time, for somebody who is waiting."""

from collections.abc import Callable
from dataclasses import dataclass

from router.domain.filters import EventFilter
from router.operate.plan.report import PlanReport
from router.operate.plan.run import Plan
from router.operate.scan import ScanPosition, WorkLimit
from router.rules.ruleset import Ruleset
from router.store.contract import PAGE, StoreReader


@dataclass(frozen=True, slots=True)
class RecentPlan:
    """A plan, and which events it covers."""

    report: PlanReport
    since: int  #: ms; it covers events from this time on
    is_all: bool  #: False: older events of the requested time were left out
    is_cut: bool  #: the time was over before the newest event


def plan_recent(
    store: StoreReader,
    before: Ruleset,
    after: Ruleset,
    *,
    since: int,
    most: int,
    samples: int,
    is_over: Callable[[], bool],
) -> RecentPlan:
    """Compare the newest events since a time (ms), at most `most`. Raises StoreError."""
    which = EventFilter(since=since)
    first, last, begin, is_all = _newest(store, which, most)
    report = PlanReport(samples)
    if last:
        work = Plan(store, after, report, before, lambda _: None, limit=WorkLimit(is_over=is_over))
        work.run(which, ScanPosition(first - 1, last))
    return RecentPlan(report, since if is_all else begin, is_all, report.rest is not None)


def _newest(store: StoreReader, which: EventFilter, most: int) -> tuple[int, int, int, bool]:
    """The seqs of the first and the last of the newest `most` events, the receipt of the first, and whether these are
    all."""
    after = first = last = begin = count = 0
    while count < most:
        wanted = min(PAGE, most - count)
        page = store.event_heads(which, limit=wanted, after=after, newest_first=True)
        if page:
            last = last or page[0].seq
            after = first = page[-1].seq
            begin, count = page[-1].received_at, count + len(page)
        if len(page) < wanted:
            return first, last, begin, True
    return first, last, begin, not store.event_heads(which, limit=1, after=after, newest_first=True)
