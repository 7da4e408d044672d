"""What the stations count as they work. Whoever is asked for it writes it out (router/admin/metrics/).

Counted in plain dicts: prometheus-client's own counters take four times as long, with a lookup by labels and two locks
each, and an event with one delivery is counted some ten times.
"""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from router.domain.deliveries import State
from router.domain.events import UNMATCHED
from router.domain.outcomes import OutcomeKind
from router.observe.metric_families import (
    ANSWER_SECONDS,
    ATTEMPT_SECONDS,
    ATTEMPTS,
    COMMIT_JOBS,
    COMMIT_SECONDS,
    COUNTERS,
    DELIVERIES,
    DELIVERY_SECONDS,
    DUPLICATES,
    EVENTS,
    HISTOGRAMS,
    MATCHES,
    NOT_JUDGED,
    RELOADS,
    REMOVED,
    REQUESTS,
    UNVERIFIED,
    MetricFamily,
)

Labels = tuple[str, ...]
"""A value for each of a family's labels, in their order."""

_NO_RULE = (UNMATCHED,)


@dataclass(slots=True)
class HistogramCounts:
    """What a histogram has seen: how many values up to each of its bounds, and between those; their sum."""

    counts: list[int]  #: one more than the bounds: the last is of what is above them all
    sum: float = 0.0


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """Everything that was counted."""

    counts: dict[MetricFamily, dict[Labels, int]]
    spreads: dict[MetricFamily, dict[Labels, HistogramCounts]]


class Metrics:
    """Counts. Any thread may call it.

    One lock for all of it: what is done under it takes less than a microsecond, so that nobody waits for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[MetricFamily, defaultdict[Labels, int]] = {family: defaultdict(int) for family in COUNTERS}
        self._spreads: dict[MetricFamily, dict[Labels, HistogramCounts]] = {family: {} for family in HISTOGRAMS}
        counts = self._counts
        self._requests, self._events, self._matches = counts[REQUESTS], counts[EVENTS], counts[MATCHES]
        self._attempts, self._deliveries = counts[ATTEMPTS], counts[DELIVERIES]
        self.loaded_at = 0  #: ms; when the rules that run were loaded
        self.reload_failed = False  #: the last one

    def answered(self, source: str, status: int) -> None:
        """A request was answered; no source: its path is none's, or it never came so far."""
        with self._lock:
            self._requests[source, str(status)] += 1

    def received(self, source: str, matched: Sequence[str], seconds: float) -> None:
        """An event was stored, which these rules matched, so many seconds after it arrived."""
        with self._lock:
            self._observe(ANSWER_SECONDS, (source,), seconds)
            self._events[(source,)] += 1
            for rule in matched or _NO_RULE:
                self._matches[(rule,)] += 1

    def repeated(self, source: str, seconds: float) -> None:
        """A request was a copy of an event that is stored already, as was known so many seconds after it arrived."""
        with self._lock:
            self._observe(ANSWER_SECONDS, (source,), seconds)
            self._counts[DUPLICATES][(source,)] += 1

    def unverified(self, source: str, reason: str) -> None:
        """A request failed verification; the reason is one of router.plugins.registries.Misfit."""
        self._add(UNVERIFIED, source, reason)

    def not_judged(self, rule: str) -> None:
        """A rule could not be judged for an event."""
        self._add(NOT_JUDGED, rule)

    def attempted(
        self,
        rule: str,
        action: str,
        target: str,
        outcome: OutcomeKind,
        took: float,
        state: State = State.PENDING,
        age: float = 0.0,
    ) -> None:
        """An attempt ended, after so many seconds. Its delivery stands there now, so many seconds (age) after its event
        arrived; only an end is counted."""
        with self._lock:
            self._attempts[rule, action, target, outcome.value] += 1
            self._observe(ATTEMPT_SECONDS, (target,), took)
            if state is State.PENDING:
                return
            self._deliveries[rule, action, target, state.value] += 1
            if state is State.SUCCEEDED:
                self._observe(DELIVERY_SECONDS, (target,), age)

    def committed(self, jobs: int, seconds: float) -> None:
        """The store made a transaction of so many jobs."""
        with self._lock:
            self._observe(COMMIT_JOBS, (), jobs)
            self._observe(COMMIT_SECONDS, (), seconds)

    def removed(self, events: int) -> None:
        """Retention removed so many events."""
        with self._lock:
            self._counts[REMOVED][()] += events

    def loaded(self, at: int) -> None:
        """The rules that run were loaded, at the start (ms)."""
        self.loaded_at = at

    def reloaded(self, at: int) -> None:
        """A reload took (ms)."""
        self.loaded_at, self.reload_failed = at, False
        self._add(RELOADS, "succeeded")

    def refused(self) -> None:
        """A reload failed: the rules that ran go on."""
        self.reload_failed = True
        self._add(RELOADS, "failed")

    def agreed(self) -> None:
        """The rules file is what runs: whatever failed before is mended."""
        self.reload_failed = False

    def counted(self) -> MetricCounts:
        """All of it, as it stands: each family at one moment, but for a histogram's rows, each of which has its own."""
        counts: dict[MetricFamily, dict[Labels, int]] = {}
        for family, rows in self._counts.items():
            with self._lock:
                counts[family] = dict(rows)
        return MetricCounts(counts, {family: self._copied(spreads) for family, spreads in self._spreads.items()})

    def _copied(self, spreads: dict[Labels, HistogramCounts]) -> dict[Labels, HistogramCounts]:
        # One by one: with thousands of targets, the whole of it would hold up the stations for milliseconds.
        with self._lock:
            found = list(spreads.items())
        copied: dict[Labels, HistogramCounts] = {}
        for labels, spread in found:
            with self._lock:
                copied[labels] = HistogramCounts(list(spread.counts), spread.sum)
        return copied

    def forget(self, family: MetricFamily, labels: Labels) -> None:
        """Drop what was counted under a name that is gone."""
        with self._lock:
            if family in self._counts:
                self._counts[family].pop(labels, None)
            else:
                self._spreads[family].pop(labels, None)

    def _add(self, family: MetricFamily, *labels: str) -> None:
        with self._lock:
            self._counts[family][labels] += 1

    def _observe(self, family: MetricFamily, labels: Labels, value: float) -> None:
        spread = self._spreads[family].get(labels)
        if spread is None:
            spread = self._spreads[family][labels] = HistogramCounts([0] * (len(family.bounds) + 1))
        spread.counts[bisect_left(family.bounds, value)] += 1
        spread.sum += value
