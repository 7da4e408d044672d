"""A chart of events and deliveries over time: the numbers of an SVG, which the template draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from router.domain.activity import Bucket
from router.operate.words import counted, span
from router.store.contract import StoreReader

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SPANS = {"1h": (HOUR, 2 * MINUTE), "24h": (DAY, HOUR), "7d": (7 * DAY, 6 * HOUR)}
"""By name: how far the chart goes back, and the length of one bar."""

DEFAULT = "24h"
WIDTH, HEIGHT = 10, 40  #: of a bar and of a row of bars, in the SVG's units


@dataclass(frozen=True, slots=True)
class Bar:
    """One span of time."""

    x: int
    words: str  #: its numbers in words
    events_at: str  #: the URL of its events
    bucket: Bucket
    ends_at: int  #: ms


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars of two rows: events above, deliveries below."""

    span: str
    bar_ms: int
    bars: Sequence[Bar]
    events: str  #: the SVG path of the bars of events
    deliveries: str
    dead: str  #: the dead ones, drawn over the bars of deliveries
    most_events: int  #: the number of the tallest bar
    most_deliveries: int

    @property
    def width(self) -> int:
        """The width of the SVG, in its units."""
        return WIDTH * len(self.bars)

    @property
    def total(self) -> str:
        """The totals in words."""
        buckets = [bar.bucket for bar in self.bars]
        about = "" if all(bucket.is_exact for bucket in buckets) else "about "
        dead = sum(bucket.dead for bucket in buckets)
        events = counted(sum(bucket.events for bucket in buckets), "event")
        deliveries = counted(sum(bucket.deliveries for bucket in buckets), "delivery")
        return f"{about}{events}, {deliveries}" + (f", of which {dead:,} dead" if dead else "")


def chart_of(store: StoreReader, name: str, now: int) -> Chart:
    """The chart over the span of this name. Raises StoreError."""
    name = name if name in SPANS else DEFAULT
    back, bar_ms = SPANS[name]
    first = now // bar_ms * bar_ms + bar_ms - back  # bars begin at full minutes or hours; the last one is not over
    bounds = range(first, now + 1, bar_ms)
    buckets = store.activity(list(bounds))
    most_events = max((bucket.events for bucket in buckets), default=0)
    most_deliveries = max((bucket.deliveries for bucket in buckets), default=0)
    bars = [_bar(number, bucket, bucket.begins_at + bar_ms) for number, bucket in enumerate(buckets)]
    return Chart(
        name,
        bar_ms,
        bars,
        _path([bucket.events for bucket in buckets], most_events, 0),
        _path([bucket.deliveries for bucket in buckets], most_deliveries, HEIGHT + 4),
        _path([bucket.dead for bucket in buckets], most_deliveries, HEIGHT + 4),
        most_events,
        most_deliveries,
    )


def _bar(number: int, bucket: Bucket, ends_at: int) -> Bar:
    about = "" if bucket.is_exact else "about "
    dead = f", {bucket.dead:,} dead" if bucket.dead else ""
    words = f"{about}{counted(bucket.events, 'event')}, {counted(bucket.deliveries, 'delivery')}{dead}"
    at = f"/events?since={_minute(bucket.begins_at)}&until={_minute(ends_at)}"
    return Bar(WIDTH * number, words, at, bucket, ends_at)


def _path(values: Sequence[int], most: int, top: int) -> str:
    """The bars as one path. A bar above zero is at least one unit high, so that it is visible."""
    parts = []
    for number, value in enumerate(values):
        if value:
            high = max(1, round(HEIGHT * value / most))
            parts.append(f"M{WIDTH * number + 1} {top + HEIGHT}v-{high}h{WIDTH - 2}v{high}z")
    return "".join(parts)


def _minute(at: int) -> str:
    """A full minute in short form, since the overview shows many."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def bar_words(chart: Chart) -> str:
    """The length of one bar: `60m`."""
    return span(chart.bar_ms)
