"""Counts are exact with many threads, and series of removed rules are dropped."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from router.admin.metrics.expiry import KEPT_SECONDS, MetricExpiry
from router.daemon.registries import REGISTRIES
from router.domain.deliveries import PlannedDelivery, State
from router.domain.events import Event
from router.domain.outcomes import OutcomeKind
from router.observe import metric_families as f
from router.observe.metrics import HistogramCounts, Metrics
from router.rules.compile.loader import Loader
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

RULES = """
sources: {{{source}: {{verify: none}}}}
rules:
  - name: {rule}
    actions: [append: out.jsonl]
"""
Load = Callable[..., Ruleset]


@pytest.fixture
def metrics() -> Metrics:
    """Metrics without any counts."""
    return Metrics()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    with closing(open_store(tmp_path / "store.db")) as opened:
        yield opened


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads rules with one source and one rule."""

    def make(source: str = "a", rule: str = "one") -> Ruleset:
        text = RULES.format(source=source, rule=rule)
        return Loader(REGISTRIES, {}).load(text, "rules.yaml", tmp_path).require()

    return make


def work(metrics: Metrics, rule: str = "one", source: str = "a") -> None:
    """Count an event, an error and a delivery."""
    target = f"{rule}/append"
    metrics.answered(source, 202)
    metrics.received(source, [rule], 0.02)
    metrics.repeated(source, 0.02)
    metrics.unverified(source, "mismatch")
    metrics.not_judged(rule)
    metrics.attempted(rule, "append", target, OutcomeKind.RETRY, 0.02, State.PENDING, 1.0)
    metrics.attempted(rule, "append", target, OutcomeKind.SUCCEEDED, 7.0, State.SUCCEEDED, 2.0)
    metrics.committed(3, 0.004)


def names(metrics: Metrics, word: str) -> list[str]:
    """The families that have a series with this name."""
    counted = metrics.counted()
    held = [(family.name, labels) for family, rows in counted.counts.items() for labels in rows]
    held += [(family.name, labels) for family, rows in counted.histograms.items() for labels in rows]
    return sorted(name for name, labels in held if any(word in label for label in labels))


def test_concurrent_counts_are_exact(metrics: Metrics) -> None:
    together = threading.Barrier(4)

    def run() -> None:
        together.wait()
        for _ in range(5000):
            work(metrics)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    counted = metrics.counted()
    assert counted.counts[f.REQUESTS] == {("a", "202"): 20_000}
    assert counted.counts[f.ATTEMPTS] == {
        ("one", "append", "one/append", "retry"): 20_000,
        ("one", "append", "one/append", "succeeded"): 20_000,
    }
    assert sum(counted.histograms[f.COMMIT_JOBS][()].counts) == 20_000
    assert counted.histograms[f.COMMIT_JOBS][()].sum == 60_000


def test_a_delivery_that_will_be_retried_is_not_counted_as_ended(metrics: Metrics) -> None:
    metrics.attempted("one", "append", "t", OutcomeKind.RETRY, 0.1, State.PENDING, 1.0)
    metrics.attempted("one", "append", "t", OutcomeKind.FAILED, 0.1, State.DEAD, 1.0)

    assert metrics.counted().counts[f.DELIVERIES] == {("one", "append", "t", "dead"): 1}
    assert metrics.counted().histograms[f.DELIVERY_SECONDS] == {}


def test_a_value_on_a_bucket_bound_counts_in_that_bucket(metrics: Metrics) -> None:
    metrics.committed(512, 5.0)
    metrics.committed(513, 5.1)

    seconds = metrics.counted().histograms[f.COMMIT_SECONDS][()]
    assert seconds == HistogramCounts([0] * 11 + [1, 1], 10.1)
    assert metrics.counted().histograms[f.COMMIT_JOBS][()].counts[-2:] == [1, 1]


def test_an_unmatched_event_counts_under_the_reserved_rule_name(metrics: Metrics) -> None:
    metrics.received("a", [], 0.02)
    metrics.received("a", ["one", "two"], 0.02)

    assert metrics.counted().counts[f.MATCHES] == {("unmatched",): 1, ("one",): 1, ("two",): 1}
    assert metrics.counted().counts[f.EVENTS] == {("a",): 2}


def test_series_of_removed_rules_are_dropped_after_a_while(metrics: Metrics, store: SqliteStore, load: Load) -> None:
    current = CurrentRuleset(load())
    forgetting = MetricExpiry(metrics, current, store)
    work(metrics)
    metrics.answered("", 404)
    metrics.received("a", [], 0.02)
    before = names(metrics, "one")
    current.ruleset = load(source="b", rule="two")
    work(metrics, "two", "b")

    forgetting.forget(metrics.counted(), 1000.0)
    forgetting.forget(metrics.counted(), 1000.0 + KEPT_SECONDS - 1)

    assert names(metrics, "one") == before  # so that a scrape still gets the last counts
    forgetting.forget(metrics.counted(), 1000.0 + KEPT_SECONDS)
    assert names(metrics, "one") == []
    assert [labels for labels in metrics.counted().counts[f.REQUESTS] if labels[0] == "a"] == []
    assert names(metrics, "two") == before
    assert metrics.counted().counts[f.REQUESTS]["", "404"] == 1
    assert metrics.counted().counts[f.MATCHES]["unmatched",] == 1


def test_a_rule_that_returns_keeps_counting(metrics: Metrics, store: SqliteStore, load: Load) -> None:
    first, second = load(), load(rule="two")
    current = CurrentRuleset(second)
    forgetting = MetricExpiry(metrics, current, store)
    work(metrics)

    forgetting.forget(metrics.counted(), 0.0)
    current.ruleset = first
    forgetting.forget(metrics.counted(), KEPT_SECONDS)
    current.ruleset = second
    forgetting.forget(metrics.counted(), KEPT_SECONDS + 1)

    assert metrics.counted().counts[f.MATCHES]["one",] == 1


def test_series_with_waiting_deliveries_are_kept(metrics: Metrics, store: SqliteStore, load: Load) -> None:
    ruleset = load()
    store.put_ruleset(ruleset.text, 0).result(60)
    event = Event("e1", "a", "POST", "/hooks/a", "", (), b"{}", "127.0.0.1", 1)
    plan = [PlannedDelivery("d1", "one", "append", "append", "one/append")]
    store.append(event, plan, ruleset.hash).result(60)
    forgetting = MetricExpiry(metrics, CurrentRuleset(load(rule="two")), store)
    work(metrics)

    forgetting.forget(metrics.counted(), 0.0)
    forgetting.forget(metrics.counted(), KEPT_SECONDS)

    kept = [f.ATTEMPT_SECONDS, f.ATTEMPTS, f.DELIVERIES, f.DELIVERY_SECONDS]
    assert sorted(set(names(metrics, "one"))) == sorted(family.name for family in kept)
    store.cancel(["d1"], 2).result(60)
    forgetting.forget(metrics.counted(), KEPT_SECONDS * 2)
    assert names(metrics, "one") == []


def test_many_edits_do_not_grow_the_number_of_series(metrics: Metrics, store: SqliteStore, load: Load) -> None:
    current = CurrentRuleset(load())
    forgetting = MetricExpiry(metrics, current, store)

    for day in range(365):
        current.ruleset = load(source=f"s{day}", rule=f"r{day}")
        work(metrics, f"r{day}", f"s{day}")
        forgetting.forget(metrics.counted(), day * 86400.0)

    counted = metrics.counted()
    assert sum(map(len, counted.counts.values())) + sum(map(len, counted.histograms.values())) < 40
