"""The metrics exposition is valid for Prometheus, complete and documented."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from router.admin.metrics import depth_cache
from router.admin.metrics import exposition as module
from router.admin.metrics.expiry import MetricExpiry
from router.admin.metrics.exposition import Exposition, GaugeSources
from router.admin.metrics.samples import label_value
from router.daemon.registries import REGISTRIES
from router.domain.deliveries import PlannedDelivery, Settlement, State
from router.domain.errors import StoreError
from router.domain.events import Event
from router.domain.outcomes import Outcome, OutcomeKind
from router.domain.polls import PollState
from router.domain.summaries import Depth
from router.domain.target_state import BreakerState, TargetLoad
from router.observe import metric_families as f
from router.observe.metric_families import MetricFamily
from router.observe.metrics import Metrics
from router.plugins.scheme import VerifyFailure
from router.rules.compile.loader import Loader
from router.rules.ruleset import CurrentRuleset
from router.store.contract import StoreFaults, StoreSize
from router.store.fleet import NodeCounts
from router.store.sqlite.store import SqliteStore
from tests.metric_families import FAMILIES
from tests.sqlite_template import open_store

METRICS_PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
NOW = 1_700_000_000_000
RULES = """
sources:
  open: {verify: none}
  signed: {verify: {scheme: github, secret: {env: KEY}}}
targets: {ci: {url: "http://127.0.0.1:9", rate: 20/s, concurrency: 3}}
rules:
  - name: build
    source: open
    actions: [forward: {target: ci}]
"""
LOAD = TargetLoad("ci", 1, 3, 20.0, 1.5, BreakerState.OPEN, 4)
IDLE = TargetLoad("ci", 0, 3, 20.0, 2.0, BreakerState.CLOSED, 0)
Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Daemon:
    """The parts of a daemon that the exposition reads."""

    store: SqliteStore
    current: CurrentRuleset
    metrics: Metrics = field(default_factory=Metrics)
    loads: list[TargetLoad] = field(default_factory=lambda: [IDLE])
    disk: Callable[[], StoreSize] = lambda: StoreSize(data=8, log=2, free=20)
    faults: StoreFaults = field(default_factory=StoreFaults)
    node: NodeCounts | None = None
    looks: int = 0  #: how often the exposition asked whether requests are running

    def exposition(self) -> Exposition:
        sights = GaugeSources(
            loads=lambda: self.loads,
            ready=lambda: True,
            store_healthy=self.store.writable,
            connections=lambda: (7, 1024),
            lines_lost=lambda: 5,
            busy=self.is_busy,
            disk=self.disk,
            certificates=lambda: {"intake": 1_800_000_000.0},
            polls=lambda: [PollState("jobs", "s", "t", succeeded_at=NOW, failures=1)],
            faults=lambda: self.faults,
            node=lambda: self.node,
            differs=lambda: True,
        )
        forgetting = MetricExpiry(self.metrics, self.current, self.store)
        return Exposition(self.metrics, forgetting, self.current, self.store, sights, lambda: NOW)

    def is_busy(self) -> bool:
        self.looks += 1
        return True

    def scrape(self) -> dict[Key, float]:
        """Every sample."""
        return samples(self.exposition().reply("").body.decode())


def samples(text: str) -> dict[Key, float]:
    """Every sample of an exposition, by name and labels."""
    found: dict[Key, float] = {}
    for family in parse(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def key(name: str, **labels: str) -> Key:
    """The name and labels of a sample."""
    return f"webhook_router_{name}", frozenset(labels.items())


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A store and rules, without any counts."""
    ruleset = Loader(REGISTRIES, {"KEY": "k"}).load(RULES, "rules.yaml", tmp_path).require()
    with closing(open_store(tmp_path / "store.db")) as store:
        store.put_ruleset(ruleset.text, NOW).result(60)
        yield Daemon(store, CurrentRuleset(ruleset))


def wait_for_deliveries(daemon: Daemon, *planned: PlannedDelivery) -> None:
    """Store deliveries that have waited for 90 seconds."""
    event = Event("e1", "open", "POST", "/hooks/open", "", (), b"{}", "127.0.0.1", NOW - 90_000)
    daemon.store.append(event, planned, daemon.current.ruleset.hash).result(60)


def test_every_target_has_its_gauges(daemon: Daemon) -> None:
    daemon.loads = [LOAD]
    wait_for_deliveries(
        daemon,
        PlannedDelivery("d1", "build", "forward", "forward", "ci", "k"),
        PlannedDelivery("d2", "build", "forward", "forward", "ci", "k"),
    )

    found = daemon.scrape()

    assert found[key("queue_depth", target="ci", state="pending")] == 1
    assert found[key("queue_depth", target="ci", state="blocked")] == 1
    assert found[key("queue_depth", target="ci", state="running")] == 0
    assert found[key("queue_oldest_age_seconds", target="ci")] == 90
    assert found[key("breaker_state", target="ci", state="open")] == 1
    assert found[key("breaker_state", target="ci", state="closed")] == 0
    assert found[key("breaker_state", target="ci", state="half-open")] == 0
    assert found[key("breaker_failures", target="ci")] == 4
    assert found[key("attempts_running", target="ci")] == 1
    assert found[key("concurrency_limit", target="ci")] == 3
    assert found[key("rate_limit", target="ci")] == 20
    assert found[key("rate_limit_tokens", target="ci")] == 1.5
    assert found[key("intake_connections")] == 7
    assert found[key("log_lines_lost_total")] == 5
    assert found[key("certificate_expiration_timestamp_seconds", listener="intake")] == 1_800_000_000
    assert (found[key("store_size_bytes")], found[key("store_free_bytes")]) == (10, 20)
    assert found[key("rules_file_differs")] == 1
    assert found[key("rules_info", hash=daemon.current.ruleset.hash)] == 1


def test_counters_of_every_rule_and_target_start_at_zero(daemon: Daemon) -> None:
    found = daemon.scrape()

    assert found[key("events_total", source="open")] == 0
    assert found[key("requests_total", source="signed", status="503")] == 0
    assert found[key("verification_failures_total", source="signed", reason="mismatch")] == 0
    assert key("verification_failures_total", source="open", reason="mismatch") not in found
    assert found[key("evaluation_errors_total", rule="build")] == 0
    assert found[key("deliveries_total", rule="build", action="forward", target="ci", outcome="dead")] == 0
    assert found[key("queue_oldest_age_seconds", target="ci")] == 0
    assert found[key("breaker_state", target="ci", state="closed")] == 1
    assert found[key("reloads_total", outcome="failed")] == 0


def test_a_large_ruleset_exposes_only_counters_that_have_counted(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ZEROS", 2)
    daemon.metrics.received("open", ["build"], 0.1)

    found = daemon.scrape()

    assert found[key("matches_total", rule="build")] == 1
    assert key("events_total", source="signed") not in found
    assert key("queue_oldest_age_seconds", target="ci") not in found
    assert key("breaker_failures", target="ci") not in found
    daemon.loads = [replace(IDLE, failures=1)]
    assert daemon.scrape()[key("breaker_failures", target="ci")] == 1


@pytest.mark.parametrize(
    "name",
    [
        'quote " backslash \\ brace } comma ,',
        "line\nfeed",
        'feint"} 1\nwebhook_router_ready 0\n#',
        "nul \x00 escape \x1b[31m delete \x7f next \x85 separator \u2028",
        "lone surrogate \ud800",
        "ümläut 日本 🎉",
        "x" * 10_000,
        "",
        " ",
    ],
)
def test_the_exposition_is_valid_with_any_rule_name(daemon: Daemon, name: str) -> None:
    daemon.metrics.received(name, [name], 0.1)
    daemon.metrics.attempted(name, name, name, OutcomeKind.SUCCEEDED, 1.0)
    daemon.loads = [replace(LOAD, key=name)]
    before = daemon.metrics.counted().counts[f.EVENTS]

    body = daemon.exposition().reply("").body

    assert daemon.metrics.counted().counts[f.EVENTS] == before
    found = samples(body.decode("utf-8"))
    assert len([one for one in found if one[0] == "webhook_router_events_total"]) == 3  # the name's, and two at zero
    assert found[key("ready")] == 1
    assert found[
        key("attempts_total", **dict.fromkeys(("rule", "action", "target"), label_value(name)), outcome="succeeded")
    ]
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", body)
    assert max(map(len, body.splitlines())) < 2000


def test_long_names_with_the_same_beginning_stay_distinct(daemon: Daemon) -> None:
    for end in "ab":
        daemon.metrics.received("open", ["x" * 300 + end], 0.1)

    assert len([one for one in daemon.scrape() if one[0] == "webhook_router_matches_total"]) == 4


def test_an_unreadable_store_drops_only_the_metrics_read_from_it(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> StoreSize:
        raise StoreError("gone")

    daemon.disk = gone
    daemon.metrics.answered("open", 503)
    daemon.store.close()
    with pytest.raises(StoreError):
        daemon.store.depths()

    found = daemon.scrape()

    assert found[key("requests_total", source="open", status="503")] == 1
    assert found[key("store_healthy")] == 0
    assert [one for one in found if "queue" in one[0] or ("bytes" in one[0] and "router" in one[0])] == []
    assert found[key("breaker_state", target="ci", state="closed")] == 1


def test_a_hanging_disk_drops_only_the_metrics_read_from_it(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, count = threading.Event(), daemon.store.depths

    def slow() -> list[Depth]:
        answers.wait(30)
        return count()

    monkeypatch.setattr(daemon.store, "depths", slow)  # stands for a frozen file system, which only root can make
    monkeypatch.setattr(depth_cache, "DEPTHS_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(depth_cache, "DEPTHS_SECONDS", 0.0)
    exposition = daemon.exposition()

    for _ in range(3):
        found = samples(exposition.reply().body.decode())
        assert key("store_healthy") in found
        assert not [one for one in found if "queue" in one[0]]
    assert [thread.name for thread in threading.enumerate()].count("depths") == 1

    answers.set()
    age = key("queue_depth", target="ci", state="pending")
    monkeypatch.setattr(depth_cache, "DEPTHS_WAIT_SECONDS", 30.0)
    assert samples(exposition.reply().body.decode())[age] == 0


def test_queue_depths_are_read_at_most_once_a_second(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    exposition = daemon.exposition()
    age = key("queue_depth", target="ci", state="pending")
    began = time.monotonic()
    assert samples(exposition.reply().body.decode())[age] == 0

    wait_for_deliveries(daemon, PlannedDelivery("d1", "build", "forward", "forward", "ci"))

    seen = samples(exposition.reply().body.decode())[age]
    assert seen == 0 or time.monotonic() - began > depth_cache.DEPTHS_SECONDS
    monkeypatch.setattr(depth_cache, "DEPTHS_SECONDS", 0.0)
    assert samples(exposition.reply().body.decode())[age] == 1


def test_a_removed_target_is_exposed_while_deliveries_wait_for_it(daemon: Daemon) -> None:
    daemon.loads = [
        replace(LOAD, key="waits", running=0),
        replace(LOAD, key="runs"),
        replace(LOAD, key="gone", running=0),
        IDLE,
    ]
    wait_for_deliveries(daemon, PlannedDelivery("d1", "old", "forward", "forward", "waits"))

    limits = {dict(labels)["target"] for name, labels in daemon.scrape() if name == "webhook_router_concurrency_limit"}

    assert limits == {"ci", "waits", "runs"}


def test_dead_deliveries_of_a_removed_target_are_exposed(daemon: Daemon) -> None:
    wait_for_deliveries(daemon, PlannedDelivery("d1", "old", "forward", "forward", "gone"))
    [claim] = daemon.store.claim({"gone": 1}, NOW).result(60)
    end = Settlement("d1", claim.token, Outcome.failed("no"), State.DEAD, NOW, 0)
    assert daemon.store.settle([end]).result(60)[0]

    assert daemon.scrape()[key("dead_deliveries", target="gone")] == 1


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_a_large_scrape_waits_for_requests_for_a_limited_time(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    for number in range(2000):
        daemon.metrics.received("open", [f"rule-{number}"], 0.1)
    exposition = daemon.exposition()

    exposition.reply(accept)
    assert daemon.looks > 3
    daemon.looks = 0
    monkeypatch.setattr(module, "RESTS_SECONDS", 0.0)
    exposition.reply(accept)
    assert daemon.looks == 0


@pytest.mark.parametrize("version", ["version=abc", "version=9.9.9", "version=", "escaping=x y; version=1.0.0"])
def test_unknown_openmetrics_parameters_get_version_1_0_0(daemon: Daemon, version: str) -> None:
    reply = daemon.exposition().reply(f"text/plain;q=0.1, Application/OpenMetrics-Text; {version}")

    assert reply.status == 200
    assert str(reply.content_type).startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")


def test_openmetrics_is_served_on_request(daemon: Daemon) -> None:
    daemon.metrics.attempted("build", "forward", "ci", OutcomeKind.SUCCEEDED, 0.3)
    daemon.metrics.committed(2, 0.01)

    reply = daemon.exposition().reply("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")

    assert reply.content_type is not None and reply.content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in parse_openmetrics(reply.body.decode())}  # type: ignore[no-untyped-call]
    assert families["webhook_router_attempts"].type == "counter"
    assert families["webhook_router_attempt_duration_seconds"].type == "histogram"
    assert str(daemon.exposition().reply("").content_type).startswith("text/plain; version=")


def documented() -> dict[str, tuple[str, list[str]]]:
    """Type and labels of each metric in the documented table."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", METRICS_PAGE, re.MULTILINE)
    assert len(rows) == len({name for name, *_ in rows})
    return {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}


def scraped(daemon: Daemon) -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each exposed metric, under its name in the table."""
    found: dict[str, tuple[str, set[str]]] = {}
    for family in daemon.exposition().reply("").body.decode().split("# HELP ")[1:]:
        [parsed] = parse("# HELP " + family)
        name, kind = family.split(" ", 1)[0], parsed.type
        if name.endswith("_info") and name.startswith("webhook"):
            kind = "info"
        labels = {label for sample in parsed.samples for label in sample.labels} - {"le"}
        found[name] = (kind, labels)
    return found


def test_the_documented_metrics_are_exactly_the_exposed_ones(daemon: Daemon) -> None:
    daemon.metrics.answered("open", 202)
    daemon.metrics.received("open", ["build"], 0.1)
    daemon.metrics.attempted("build", "forward", "ci", OutcomeKind.SUCCEEDED, 0.1, State.SUCCEEDED, 0.1)
    daemon.metrics.committed(1, 0.1)
    daemon.metrics.polled("jobs", "changed")
    daemon.loads = [LOAD]

    table = documented()

    assert {name: (kind, set(labels)) for name, (kind, labels) in table.items()} == scraped(daemon)
    ours: list[MetricFamily] = list(FAMILIES)
    assert {family.name: (family.type, list(family.labels)) for family in ours} == {
        name: row for name, row in table.items() if name.startswith("webhook_router_")
    }


def test_every_value_of_an_enumerated_label_is_documented() -> None:
    words: list[Any] = [
        *VerifyFailure,
        *BreakerState,
        *OutcomeKind,
        State.DEAD,
        State.PENDING,
        State.RUNNING,
        "blocked",
    ]

    assert [word for word in words if f"`{word}`" not in METRICS_PAGE] == []


def test_only_a_node_exposes_metrics_of_its_fleet(daemon: Daemon) -> None:
    names = ("nodes", "nodes_taken_over_total", "node_lease_age_seconds", "node_lease_duration_seconds")
    alone = daemon.scrape()
    assert not any(key(name) in alone for name in (*names, "node_listening"))

    daemon.node = NodeCounts(alive=3, lease_seconds=15.0, lease_age=2.5, listens=True, taken_over=4)
    found = daemon.scrape()

    assert [found[key(name)] for name in names] == [3, 4, 2.5, 15]
    assert found[key("node_listening")] == 1


def test_errors_of_the_store_are_counted(daemon: Daemon) -> None:
    assert [daemon.scrape()[key(name)] for name in ("store_errors_total", "store_deadlocks_total")] == [0, 0]

    daemon.faults = StoreFaults(errors=3, deadlocks=2)

    assert [daemon.scrape()[key(name)] for name in ("store_errors_total", "store_deadlocks_total")] == [3, 2]
