"""Writes the reply to a scrape: in Prometheus' text format or, by the Accept header, in OpenMetrics.

All of it is made in the admin listener's threads; the other threads only count.
"""

import platform
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from router import __version__
from router.admin.metrics.depth_cache import DepthCache
from router.admin.metrics.expiry import MetricExpiry, RulesetNames
from router.admin.metrics.samples import Rows, histogram, info, metric
from router.admin.metrics.zero_series import add_zeros
from router.domain.errors import StoreError
from router.domain.polls import PollState
from router.domain.reply import Reply
from router.domain.summaries import Depth
from router.domain.target_state import BreakerState, TargetLoad
from router.observe import metric_families as f
from router.observe.metrics import Metrics
from router.rules.ruleset import CurrentRuleset
from router.runtime.pacing import resting_while_busy
from router.store.contract import Store, StoreFaults, StoreSize
from router.store.fleet import NodeCounts

MAX_ZEROS = 1000  #: names of a ruleset; a larger one has series only for names that were counted
RESTS_SECONDS = 3.0  #: how long a large scrape may pause for requests; Prometheus gives up after 10 s
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@dataclass(frozen=True, slots=True)
class ProcessCounts:
    """The processes that take requests."""

    serving: int = 1
    wanted: int = 1
    replaced: int = 0  #: since the start


@dataclass(frozen=True, slots=True)
class GaugeSources:
    """Functions that read the gauges for a scrape. Any thread may call them."""

    loads: Callable[[], Sequence[TargetLoad]]
    ready: Callable[[], bool]
    store_healthy: Callable[[], bool]
    connections: Callable[[], tuple[int, int]]  #: open to the intake, and the limit
    lines_lost: Callable[[], int]  #: log lines lost since the start
    busy: Callable[[], bool]  #: whether requests are being answered
    disk: Callable[[], StoreSize]  #: the size of the store and the free space; raises StoreError
    certificates: Callable[[], Mapping[str, float]] = field(
        default=dict
    )  #: ends in Unix time, by listener; only with TLS
    processes: Callable[[], ProcessCounts] = field(default=ProcessCounts)  #: that take requests
    collect: Callable[[], None] = field(default=lambda: None)  #: has other processes send their counts
    polls: Callable[[], Sequence[PollState]] = field(default=tuple)  #: of the sources that this process polls
    faults: Callable[[], StoreFaults] = field(default=StoreFaults)  #: of the store
    node: Callable[[], NodeCounts | None] = field(default=lambda: None)  #: None: the daemon owns its store alone
    differs: Callable[[], bool] = field(default=lambda: False)  #: whether the rules file differs from the running rules


class Exposition(Collector):
    """The metrics of one daemon. Any thread may call it."""

    def __init__(
        self,
        metrics: Metrics,
        expiry: MetricExpiry,
        current: CurrentRuleset,
        store: Store,
        gauges: GaugeSources,
        now_ms: Callable[[], int],
    ) -> None:
        self._metrics = metrics
        self._expiry = expiry
        self._current = current
        self._gauges = gauges
        self._now_ms = now_ms
        self._depths = DepthCache(store, now_ms)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def reply(self, accept: str = "") -> Reply:
        """The reply to a scrape with this Accept header."""
        kinds = {kind.partition(";")[0].strip() for kind in accept.lower().split(",")}
        # A fixed header for the library: it copies version and escaping from its input, and fails at a bad version.
        encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS.partition(";")[0] in kinds else "")
        rests_until = time.monotonic() + RESTS_SECONDS
        with resting_while_busy(lambda: time.monotonic() < rests_until and self._gauges.busy()):
            return Reply(200, encode(self._registry), content_type)

    def describe(self) -> list[Metric]:
        """Empty, so that the registry does not collect while this is being registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        self._gauges.collect()
        known = self._expiry.known()
        counted = self._metrics.counted()
        self._expiry.forget(counted, time.monotonic())
        if _size(known) <= MAX_ZEROS:
            add_zeros(counted, known)
        for family in f.COUNTERS:
            yield metric(family, counted.counts[family])
        for family in f.HISTOGRAMS:
            yield histogram(family, counted.histograms[family])
        yield from self._intake()
        yield from self._targets(known)
        yield from self._polls()
        yield from self._store()
        yield from self._node()
        yield from self._rules()
        yield info(f.BUILD_INFO, {"version": __version__, "python": platform.python_version()})

    def _intake(self) -> Iterator[Metric]:
        yield metric(f.READY, {(): self._gauges.ready()})
        connections, limit = self._gauges.connections()
        yield metric(f.CONNECTIONS, {(): connections})
        yield metric(f.CONNECTION_LIMIT, {(): limit})
        processes = self._gauges.processes()
        yield metric(f.PROCESSES, {(): processes.serving})
        yield metric(f.PROCESSES_WANTED, {(): processes.wanted})
        yield metric(f.PROCESSES_REPLACED, {(): processes.replaced})
        yield metric(f.LINES_LOST, {(): self._gauges.lines_lost()})
        yield metric(f.CERTIFICATE_ENDS, {(name,): ends for name, ends in self._gauges.certificates().items()})

    def _targets(self, known: RulesetNames) -> Iterator[Metric]:
        counted = self._depths.read()
        depths = {depth.target: depth for depth in counted or ()}
        # A target outside the rules is reported while deliveries wait there. In a very large ruleset this holds for
        # every target.
        busy = {depth.target for depth in depths.values() if depth.due or depth.blocked or depth.held or depth.paused}
        reported = busy | known.targets if _size(known) <= MAX_ZEROS else busy
        loads = [load for load in self._gauges.loads() if load.running or load.key in reported or _fails(load, known)]
        if counted is not None and _size(known) <= MAX_ZEROS:
            for key in known.targets:
                depths.setdefault(key, Depth(key))
        yield from _depth_metrics(depths.values(), self._now_ms())
        yield from _load_metrics(loads)

    def _polls(self) -> Iterator[Metric]:
        states = self._gauges.polls()
        yield metric(f.SOURCE_FAILING, {(one.source,): one.failures > 0 for one in states})
        yield metric(f.POLLED_AT, {(one.source,): one.succeeded_at / 1000 for one in states if one.succeeded_at})

    def _store(self) -> Iterator[Metric]:
        yield metric(f.STORE_HEALTHY, {(): self._gauges.store_healthy()})
        faults = self._gauges.faults()
        yield metric(f.STORE_ERRORS, {(): faults.errors})
        yield metric(f.STORE_DEADLOCKS, {(): faults.deadlocks})
        try:
            disk = self._gauges.disk()
        except StoreError:  # the file is gone: `ready` reports it
            disk = None
        yield metric(f.STORE_BYTES, {} if disk is None else {(): disk.data + disk.log})
        yield metric(f.FREE_BYTES, {} if disk is None or disk.free is None else {(): disk.free})

    def _node(self) -> Iterator[Metric]:
        """Metrics of the node; empty for a daemon that owns its store alone."""
        node = self._gauges.node()
        yield metric(f.NODES, {} if node is None else {(): node.alive})
        yield metric(f.NODES_TAKEN_OVER, {} if node is None else {(): node.taken_over})
        yield metric(f.LEASE_AGE, {} if node is None else {(): node.lease_age})
        yield metric(f.LEASE_SECONDS, {} if node is None else {(): node.lease_seconds})
        yield metric(f.LISTENS, {} if node is None else {(): node.listens})

    def _rules(self) -> Iterator[Metric]:
        ruleset = self._current.ruleset
        yield info(f.RULES_INFO, {"hash": ruleset.hash})
        yield metric(f.RULES, {(): len(ruleset.rules)})
        yield metric(f.RELOADED, {(): not self._metrics.reload_failed})
        yield metric(f.LOADED_AT, {(): self._metrics.loaded_at / 1000})
        yield metric(f.DIFFERS, {(): self._gauges.differs()})


def _fails(load: TargetLoad, known: RulesetNames) -> bool:
    return load.failures > 0 and load.key in known.targets


def _size(known: RulesetNames) -> int:
    return len(known.sources) + len(known.actions)


def _depth_metrics(depths: Collection[Depth], now: int) -> Iterator[Metric]:
    yield metric(
        f.QUEUE_DEPTH,
        {(depth.target, state): number for depth in depths for state, number in _by_state(depth)},
    )
    ages: Rows = {(d.target,): 0.0 if d.oldest_at is None else max(0, now - d.oldest_at) / 1000 for d in depths}
    yield metric(f.QUEUE_AGE, ages)
    yield metric(f.PAUSED, {(depth.target,): depth.paused for depth in depths})
    yield metric(f.DEAD, {(depth.target,): depth.dead for depth in depths})


def _by_state(d: Depth) -> tuple[tuple[str, int], ...]:
    return ("pending", d.due), ("blocked", d.blocked), ("held", d.held), ("running", d.running)


def _load_metrics(loads: Sequence[TargetLoad]) -> Iterator[Metric]:
    rated = [load for load in loads if load.rate is not None]
    yield metric(f.RUNNING, {(load.key,): load.running for load in loads})
    yield metric(f.CONCURRENCY, {(load.key,): load.concurrency for load in loads})
    yield metric(f.RATE, {(load.key,): load.rate or 0 for load in rated})
    yield metric(f.TOKENS, {(load.key,): load.tokens for load in rated})
    states: Rows = {(load.key, state.value): state is load.breaker for load in loads for state in BreakerState}
    yield metric(f.BREAKER, states)
    yield metric(f.FAILURES, {(load.key,): load.failures for load in loads})
