"""Counts events, deliveries, attempts and commits. router/admin/metrics/ writes the counts out.

The counts are in plain dicts. prometheus-client's own counters take four times as long, with a lookup by labels and two
locks for each count, and an event with one delivery is counted some ten times.
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
    EVALUATION_ERRORS,
    EVENTS,
    EVENTS_REMOVED,
    HISTOGRAMS,
    MATCHES,
    POLLS,
    RELOADS,
    REQUESTS,
    VERIFICATION_FAILURES,
    MetricFamily,
)

Labels = tuple[str, ...]
"""A value for each of a family's labels, in their order."""

POLL_OUTCOMES = ("changed", "unchanged", "failed")
_NO_RULE = (UNMATCHED,)
_COUNTED_ELSEWHERE = (State.PENDING, State.SKIPPED)  #: pending is not settled, and `skipped` counts the other


@dataclass(slots=True)
class HistogramCounts:
    """A histogram's values: their number in each bucket, and their sum."""

    counts: list[int]  #: one more than there are bounds: the last bucket is above them all
    sum: float = 0.0


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """All counts."""

    counts: dict[MetricFamily, dict[Labels, int]]
    histograms: dict[MetricFamily, dict[Labels, HistogramCounts]]


class Metrics:
    """Counts. Any thread may call it.

    One lock guards all counts. It is held for less than a microsecond, so threads hardly wait for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[MetricFamily, defaultdict[Labels, int]] = {family: defaultdict(int) for family in COUNTERS}
        self._histograms: dict[MetricFamily, dict[Labels, HistogramCounts]] = {family: {} for family in HISTOGRAMS}
        counts = self._counts
        self._requests, self._events, self._matches = counts[REQUESTS], counts[EVENTS], counts[MATCHES]
        self._attempts, self._deliveries = counts[ATTEMPTS], counts[DELIVERIES]
        self.loaded_at = 0  #: ms; when the current rules were loaded
        self.reload_failed = False  #: whether the last reload failed

    def answered(self, source: str, status: int) -> None:
        """A request was answered. Without a known source, `source` is empty."""
        with self._lock:
            self._requests[source, str(status)] += 1

    def received(self, source: str, matched: Sequence[str], seconds: float) -> None:
        """An event was stored, `seconds` after it arrived; these rules matched it."""
        with self._lock:
            self._observe(ANSWER_SECONDS, (source,), seconds)
            self._events[(source,)] += 1
            for rule in matched or _NO_RULE:
                self._matches[(rule,)] += 1

    def taken(self, source: str, matched: Sequence[str]) -> None:
        """An event of a poll was stored; these rules matched it."""
        with self._lock:
            self._events[(source,)] += 1
            for rule in matched or _NO_RULE:
                self._matches[(rule,)] += 1

    def polled(self, source: str, outcome: str) -> None:
        """A poll ended: changed, unchanged or failed."""
        self._add(POLLS, source, outcome)

    def repeated(self, source: str, seconds: float) -> None:
        """A request was a duplicate of a stored event; it was answered `seconds` after it arrived."""
        with self._lock:
            self._observe(ANSWER_SECONDS, (source,), seconds)
            self._counts[DUPLICATES][(source,)] += 1

    def unverified(self, source: str, reason: str) -> None:
        """A request failed verification, for one of the reasons that the schemes have."""
        self._add(VERIFICATION_FAILURES, source, reason)

    def not_judged(self, rule: str) -> None:
        """The condition of a rule could not be evaluated for an event."""
        self._add(EVALUATION_ERRORS, rule)

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
        """An attempt ended after `took` seconds; its delivery is in this state now, `age` seconds after its event came.
        The delivery is counted unless it is pending again, or skipped."""
        with self._lock:
            self._attempts[rule, action, target, outcome.value] += 1
            self._observe(ATTEMPT_SECONDS, (target,), took)
            if state in _COUNTED_ELSEWHERE:
                return
            self._deliveries[rule, action, target, state.value] += 1
            if state is State.SUCCEEDED:
                self._observe(DELIVERY_SECONDS, (target,), age)

    def skipped(self, rule: str, action: str, target: str) -> None:
        """A delivery became skipped."""
        self._add(DELIVERIES, rule, action, target, State.SKIPPED.value)

    def committed(self, jobs: int, seconds: float) -> None:
        """The store committed a transaction of so many jobs."""
        with self._lock:
            self._observe(COMMIT_JOBS, (), jobs)
            self._observe(COMMIT_SECONDS, (), seconds)

    def removed(self, events: int) -> None:
        """Retention removed so many events."""
        with self._lock:
            self._counts[EVENTS_REMOVED][()] += events

    def loaded(self, at: int) -> None:
        """The rules were loaded at the start (ms)."""
        self.loaded_at = at

    def reloaded(self, at: int) -> None:
        """A reload succeeded (ms)."""
        self.loaded_at, self.reload_failed = at, False
        self._add(RELOADS, "succeeded")

    def refused(self) -> None:
        """A reload failed; the current rules stay."""
        self.reload_failed = True
        self._add(RELOADS, "failed")

    def agreed(self) -> None:
        """The rules file and the current rules are the same again."""
        self.reload_failed = False

    def counted(self) -> MetricCounts:
        """A copy of all counts. Each family is consistent; of a histogram, each row is."""
        counts: dict[MetricFamily, dict[Labels, int]] = {}
        for family, rows in self._counts.items():
            with self._lock:
                counts[family] = dict(rows)
        return MetricCounts(
            counts, {family: self._copied(histograms) for family, histograms in self._histograms.items()}
        )

    def _copied(self, histograms: dict[Labels, HistogramCounts]) -> dict[Labels, HistogramCounts]:
        # One row at a time: copying thousands of targets at once would block the counting threads for milliseconds.
        with self._lock:
            found = list(histograms.items())
        copied: dict[Labels, HistogramCounts] = {}
        for labels, histogram in found:
            with self._lock:
                copied[labels] = HistogramCounts(list(histogram.counts), histogram.sum)
        return copied

    def take(self) -> MetricCounts:
        """Return the counts since the last call, to be added to others."""
        with self._lock:
            counts = {family: dict(rows) for family, rows in self._counts.items() if rows}
            histograms = {family: dict(rows) for family, rows in self._histograms.items() if rows}
            for family in counts:
                self._counts[family].clear()
            for family in histograms:
                self._histograms[family].clear()
        return MetricCounts(counts, histograms)

    def add(self, counted: MetricCounts) -> None:
        """Add counts of another process."""
        with self._lock:
            for family, rows in counted.counts.items():
                for labels, number in rows.items():
                    self._counts[family][labels] += number
            for family, histograms in counted.histograms.items():
                for labels, histogram in histograms.items():
                    self._sum(family, labels, histogram)

    def _sum(self, family: MetricFamily, labels: Labels, more: HistogramCounts) -> None:
        ours = self._histograms[family].setdefault(labels, HistogramCounts([0] * (len(family.bounds) + 1)))
        ours.counts = [mine + theirs for mine, theirs in zip(ours.counts, more.counts, strict=True)]
        ours.sum += more.sum

    def forget(self, family: MetricFamily, labels: Labels) -> None:
        """Drop the counts of labels that the rules no longer have."""
        with self._lock:
            if family in self._counts:
                self._counts[family].pop(labels, None)
            else:
                self._histograms[family].pop(labels, None)

    def _add(self, family: MetricFamily, *labels: str) -> None:
        with self._lock:
            self._counts[family][labels] += 1

    def _observe(self, family: MetricFamily, labels: Labels, value: float) -> None:
        histogram = self._histograms[family].get(labels)
        if histogram is None:
            histogram = self._histograms[family][labels] = HistogramCounts([0] * (len(family.bounds) + 1))
        histogram.counts[bisect_left(family.bounds, value)] += 1
        histogram.sum += value
