"""GET /metrics: what was counted and how things stand, in Prometheus' text format or, by Accept, in OpenMetrics.

Made when it is asked for, in the admin listener's threads; the stations only ever count.
"""

import hashlib
import platform
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from router import __version__
from router.admin.metric_expiry import MetricExpiry, Names
from router.domain.deliveries import State
from router.domain.errors import StoreError
from router.domain.events import UNMATCHED
from router.domain.reply import Reply
from router.domain.summaries import Depth
from router.domain.target_state import BreakerState, TargetLoad
from router.observe import metric_families as f
from router.observe.metric_families import MetricFamily
from router.observe.metrics import HistogramCounts, Labels, MetricCounts, Metrics
from router.plugins.scheme import VerifyFailure
from router.rules.ruleset import CurrentRuleset
from router.runtime.pacing import paced, resting_while_busy
from router.store.contract import Store, StoreSize

ZEROS = 1000  #: names of a ruleset up to which each has its series from the start; of more, those that were counted
DEPTHS_SECONDS = 1.0  #: for which what waits is not counted anew: at millions of rows it takes some 50 ms
DEPTHS_WAIT_SECONDS = 3.0  #: that a scrape waits for them; without them it tells the rest
RESTS_SECONDS = 3.0  #: in which a large scrape rests while requests are answered; Prometheus gives up after 10
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_LONGEST = 200  #: characters of a label's value; a longer one is cut, and told apart by its hash
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Rows = Mapping[Labels, float]


@dataclass(frozen=True, slots=True)
class GaugeSources:
    """What is looked at rather than counted. Any thread may call these."""

    loads: Callable[[], Sequence[TargetLoad]]
    ready: Callable[[], bool]
    store_healthy: Callable[[], bool]
    connections: Callable[[], tuple[int, int]]  #: open to the intake, and how many may be
    lines_lost: Callable[[], int]  #: since the start
    busy: Callable[[], bool]  #: requests are being answered
    disk: Callable[[], StoreSize]  #: the room that the store takes, and has left; raises StoreError
    differs: Callable[[], bool] = field(default=lambda: False)  #: the rules file is not what runs


class Exposition(Collector):
    """Writes out the metrics. Any thread may call it."""

    def __init__(
        self,
        metrics: Metrics,
        forgetting: MetricExpiry,
        current: CurrentRuleset,
        store: Store,
        sights: GaugeSources,
        now_ms: Callable[[], int],
    ) -> None:
        self._metrics = metrics
        self._forgetting = forgetting
        self._current = current
        self._sights = sights
        self._now_ms = now_ms
        self._depths = _Depths(store)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def reply(self, accept: str = "") -> Reply:
        """The answer to a scrape that sent this Accept header."""
        kinds = {kind.partition(";")[0].strip() for kind in accept.lower().split(",")}
        # The library repeats whatever version and escaping the header names, and fails at a version that is no number.
        encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS.partition(";")[0] in kinds else "")
        rests_until = time.monotonic() + RESTS_SECONDS
        with resting_while_busy(lambda: time.monotonic() < rests_until and self._sights.busy()):
            return Reply(200, encode(self._registry), content_type)

    def describe(self) -> list[Metric]:
        """None: the registry need not scrape in order to know what there is."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, with their series."""
        known = self._forgetting.known()
        counted = self._metrics.counted()
        self._forgetting.forget(counted, time.monotonic())
        if _size(known) <= ZEROS:
            _fill(counted, known)
        for family in f.COUNTERS:
            yield _written(family, counted.counts[family])
        for family in f.HISTOGRAMS:
            yield _histogram(family, counted.histograms[family])
        yield from self._intake()
        yield from self._targets(known)
        yield from self._store()
        yield from self._rules()
        yield _info(f.BUILD_INFO, {"version": __version__, "python": platform.python_version()})

    def _intake(self) -> Iterator[Metric]:
        yield _written(f.READY, {(): self._sights.ready()})
        connections, limit = self._sights.connections()
        yield _written(f.CONNECTIONS, {(): connections})
        yield _written(f.CONNECTION_LIMIT, {(): limit})
        yield _written(f.LINES_LOST, {(): self._sights.lines_lost()})

    def _targets(self, known: Names) -> Iterator[Metric]:
        read = self._depths.read()
        depths = {depth.target: depth for depth in read or ()}
        # A target that is gone is told of while it has something to do; and of very many, each one only then.
        busy = {depth.target for depth in depths.values() if depth.due or depth.blocked}
        told = busy | known.targets if _size(known) <= ZEROS else busy
        loads = [load for load in self._sights.loads() if load.running or load.key in told or _fails(load, known)]
        if read is not None and _size(known) <= ZEROS:
            for key in known.targets:
                depths.setdefault(key, Depth(key))
        yield from _waiting(depths.values(), self._now_ms())
        yield from _limits(loads)

    def _store(self) -> Iterator[Metric]:
        yield _written(f.STORE_HEALTHY, {(): self._sights.store_healthy()})
        try:
            disk = self._sights.disk()
        except StoreError:  # the file is gone: `ready` says so
            disk = None
        yield _written(f.STORE_BYTES, {} if disk is None else {(): disk.data + disk.log})
        yield _written(f.FREE_BYTES, {} if disk is None else {(): disk.free})

    def _rules(self) -> Iterator[Metric]:
        ruleset = self._current.ruleset
        yield _info(f.RULES_INFO, {"hash": ruleset.hash})
        yield _written(f.RULES, {(): len(ruleset.rules)})
        yield _written(f.RELOADED, {(): not self._metrics.reload_failed})
        yield _written(f.LOADED_AT, {(): self._metrics.loaded_at / 1000})
        yield _written(f.DIFFERS, {(): self._sights.differs()})


class _Depths:
    """What waits at each target; counted at most once in DEPTHS_SECONDS, however many ask.

    A thread of its own counts: a disk that does not answer must not keep the metrics that tell of it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()  # of what follows
        self._begun_at = 0.0  # monotonic
        self._counting: Future[list[Depth] | None] | None = None

    def read(self) -> list[Depth] | None:
        """None while the store can't be read: what is not known is better missing than old."""
        with self._lock:
            counting, now = self._counting, time.monotonic()
            if counting is None or (counting.done() and now >= self._begun_at + DEPTHS_SECONDS):
                counting = self._counting = Future()
                self._begun_at = now
                threading.Thread(target=self._count, args=(counting,), name="depths", daemon=True).start()
        try:
            return counting.result(DEPTHS_WAIT_SECONDS)
        except TimeoutError:
            return None

    def _count(self, counting: Future[list[Depth] | None]) -> None:
        try:
            counting.set_result(self._store.depths())
        except StoreError:
            counting.set_result(None)
        except Exception as error:  # noqa: BLE001 - the scrape that waits shall have it
            counting.set_exception(error)


def _fails(load: TargetLoad, known: Names) -> bool:
    return load.failures > 0 and load.key in known.targets


def _size(known: Names) -> int:
    return len(known.sources) + len(known.actions)


def _fill(counted: MetricCounts, known: Names) -> None:
    """Begin each series at zero: an increase from nothing to one would be none to Prometheus."""
    counts = counted.counts
    for source in known.sources:
        counts[f.REQUESTS].setdefault((source, "503"), 0)  # the one that alerts ask for
        if source:
            counts[f.EVENTS].setdefault((source,), 0)
            counts[f.DUPLICATES].setdefault((source,), 0)
    for source in known.verified:
        for failure in VerifyFailure:
            counts[f.UNVERIFIED].setdefault((source, failure.value), 0)
    for rule in known.rules:
        counts[f.MATCHES].setdefault((rule,), 0)
        if rule != UNMATCHED:
            counts[f.NOT_JUDGED].setdefault((rule,), 0)
    for action in known.actions:
        for state in (State.SUCCEEDED, State.DEAD):
            counts[f.DELIVERIES].setdefault((*action, state.value), 0)
    for outcome in ("succeeded", "failed"):
        counts[f.RELOADS].setdefault((outcome,), 0)
    counts[f.REMOVED].setdefault((), 0)


def _waiting(found: Collection[Depth], now: int) -> Iterator[Metric]:
    yield _written(
        f.QUEUE_DEPTH,
        {
            (depth.target, state): number
            for depth in found
            for state, number in (("pending", depth.due), ("blocked", depth.blocked), ("running", depth.running))
        },
    )
    ages: Rows = {(d.target,): 0.0 if d.oldest_at is None else max(0, now - d.oldest_at) / 1000 for d in found}
    yield _written(f.QUEUE_AGE, ages)
    yield _written(f.DEAD, {(depth.target,): depth.dead for depth in found})


def _limits(loads: Sequence[TargetLoad]) -> Iterator[Metric]:
    rated = [load for load in loads if load.rate is not None]
    yield _written(f.RUNNING, {(load.key,): load.running for load in loads})
    yield _written(f.CONCURRENCY, {(load.key,): load.concurrency for load in loads})
    yield _written(f.RATE, {(load.key,): load.rate or 0 for load in rated})
    yield _written(f.TOKENS, {(load.key,): load.tokens for load in rated})
    states: Rows = {(load.key, state.value): state is load.breaker for load in loads for state in BreakerState}
    yield _written(f.BREAKER, states)
    yield _written(f.FAILURES, {(load.key,): load.failures for load in loads})


class _Unhurried(list[Sample]):
    """Samples that are written with a breath before each: of thousands, the requests would feel it."""

    def __iter__(self) -> Iterator[Sample]:
        return paced(super().__iter__())


def _written(family: MetricFamily, rows: Rows) -> Metric:
    kind = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    metric = kind(family.name.removesuffix("_total"), family.meaning, labels=family.labels)
    for labels, value in paced(rows.items()):
        metric.add_metric([shown(label) for label in labels], float(value))
    metric.samples = _Unhurried(metric.samples)
    return metric


def _histogram(family: MetricFamily, rows: Mapping[Labels, HistogramCounts]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    for labels, spread in paced(rows.items()):
        total, buckets = 0, []
        for bound, count in zip([*map(str, family.bounds), "+Inf"], spread.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        metric.add_metric([shown(label) for label in labels], buckets, spread.sum)
    metric.samples = _Unhurried(metric.samples)
    return metric


def _info(family: MetricFamily, value: Mapping[str, str]) -> Metric:
    metric = InfoMetricFamily(family.name.removesuffix("_info"), family.meaning)
    metric.add_metric([], dict(value))
    return metric


def shown(name: str) -> str:
    """A name as a label's value: what can't be seen or written is spelled out, and its length has an end."""
    if len(name) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{name[: _LONGEST - 9]}…{digest[:8]}"
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), name)
