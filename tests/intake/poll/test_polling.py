"""The times at which sources are polled: intervals, failures, reloads, leadership and stops."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from router.daemon.registries import REGISTRIES
from router.domain.polls import PollState
from router.intake.poll import compile as poll_compile
from router.intake.poll import polling as poll_loop
from router.intake.poll import timer as poll_timer
from router.intake.poll.polling import Polling
from router.intake.poll.spec import PollSpec
from router.intake.poll.timing import LONGEST_SECONDS, RETRY_AFTER_SECONDS, backoff_seconds, wait_seconds
from router.observe import metric_families as f
from router.observe.metrics import Metrics
from router.operate.poll_source import poll_once
from router.rules.compile.loader import Loader
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.store.open import open_operator_store
from router.store.sqlite.store import SqliteStore
from tests.conftest import until
from tests.polled_service import Asked, Reply, Service

RULES = """
sources:
{sources}
rules:
  - name: all
    source: "*"
    actions: [append: all.jsonl]
  - name: own
    source: router
    actions: [append: own.jsonl]
"""
HOUR = "every: 1h, "


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_compile, "SHORTEST_SECONDS", 0.001)


class Runs:
    """Runs polling on a store, as a daemon does."""

    def __init__(self, folder: Path, store: SqliteStore, service: Service) -> None:
        self.folder, self.store, self.service = folder, store, service
        self.metrics = Metrics()
        self.current: CurrentRuleset | None = None
        self.polling: Polling | None = None
        self.leads = True
        self.ahead = 0  #: ms by which the wall clock is ahead

    def load(self, *sources: str) -> Ruleset:
        """Load rules with sources, given as name and keys of `poll`."""
        lines = []
        for source in sources:
            name, _, keys = source.partition(": ")
            lines.append(f'  {name}: {{poll: {{url: "{self.service.url}/{name}", items: "$[*]", start: all, {keys}}}}}')
        text = RULES.format(sources="\n".join(lines))
        ruleset = Loader(REGISTRIES, {}).load(text, "rules.yaml", self.folder).require()
        self.store.put_ruleset(ruleset.text, 0).result(60)
        return ruleset

    def start(self, *sources: str, failing: float = 300.0) -> Polling:
        """Start polling."""
        self.current = CurrentRuleset(self.load(*sources))
        now = lambda: time.time_ns() // 1_000_000 + self.ahead  # noqa: E731
        self.polling = Polling(self.store, self.current, now, self.metrics, lambda _: self.leads, failing)
        self.polling.start()
        return self.polling

    def reload(self, *sources: str) -> None:
        """Load and use other rules."""
        assert self.current is not None
        assert self.polling is not None
        self.current.ruleset = self.load(*sources)
        self.polling.rules_changed()

    def stop(self) -> None:
        """Stop polling."""
        if self.polling is not None:
            self.polling.stop()
            self.polling = None

    def count(self, name: str) -> int:
        """The number of requests for a source."""
        return sum(asked.path.split("?")[0] == f"/{name}" for asked in list(self.service.asked))

    def state(self, name: str) -> PollState | None:
        """The state of a source in the store."""
        return next((one for one in self.store.polls() if one.source == name), None)

    def counted(self, name: str, outcome: str) -> int:
        """The number of polls with this outcome."""
        return self.metrics.counted().counts[f.POLLS].get((name, outcome), 0)

    def own(self) -> list[Any]:
        """The payloads of the own events, oldest first."""
        return [orjson.loads(event.body) for event in reversed(self.store.events()) if event.source == "router"]


@pytest.fixture
def runs(tmp_path: Path, service: Service) -> Iterator[Runs]:
    """Polling that has not started."""
    with closing(SqliteStore(tmp_path / "store.db")) as store:
        found = Runs(tmp_path, store, service)
        yield found
        found.stop()


def test_a_source_is_polled_at_each_interval(runs: Runs) -> None:
    runs.service.body = [1]
    runs.start("a: every: 10ms")

    until(lambda: runs.counted("a", "unchanged") >= 3)

    assert runs.counted("a", "changed") == 1
    assert [event.source for event in runs.store.events()] == ["a"]
    assert runs.metrics.counted().counts[f.EVENTS][("a",)] == 1
    assert runs.metrics.counted().counts[f.MATCHES][("all",)] == 1


def test_a_failing_source_and_its_recovery_are_each_reported_once(runs: Runs) -> None:
    runs.service.answer = lambda _: Reply(status=503)
    polling = runs.start("a: every: 10ms", failing=0.02)
    until(runs.own)
    until(lambda: any(one.failures >= 5 and one.error == "HTTP 503" for one in polling.states()))

    runs.service.answer = lambda _: Reply([1])
    until(lambda: len(runs.own()) == 2)

    first, second = runs.own()
    assert (first["kind"], first["subject"], first["source"]["error"]) == ("source.failing", "a", "HTTP 503")
    assert (second["kind"], second["subject"]) == ("source.recovered", "a")
    until(lambda: (state := runs.state("a")) is not None and state.failures == 0)


def test_a_poll_waits_as_long_as_retry_after_says(runs: Runs) -> None:
    runs.service.answer = lambda _: Reply(status=429, headers={"Retry-After": "120"})
    runs.start("a: every: 10ms", "b: every: 1h")

    until(lambda: (state := runs.state("a")) is not None and state.failures == 1)

    state = runs.state("a")
    assert state is not None
    assert state.next_at - state.polled_at >= 119_000


@pytest.mark.parametrize(
    ("failures", "after", "least", "most"),
    [
        (1, None, 8, 10),
        (2, None, 16, 20),
        (1000, None, 0.8 * LONGEST_SECONDS, LONGEST_SECONDS),
        (1, 50.0, 50, 50),
        (1, 1e12, RETRY_AFTER_SECONDS, RETRY_AFTER_SECONDS),
    ],
)
def test_the_wait_grows_with_each_failure(failures: int, after: float | None, least: float, most: float) -> None:
    waits = [backoff_seconds(10.0, failures, after) for _ in range(50)]

    assert least <= min(waits) <= max(waits) <= most
    assert backoff_seconds(7200.0, 1, None) <= 60
    assert backoff_seconds(7200.0, 50, None) <= 7200


def test_polls_of_many_sources_are_spread_over_time() -> None:
    waits = {wait_seconds(100.0) for _ in range(50)}

    assert len(waits) > 40
    assert 90 <= min(waits) <= max(waits) <= 110


def test_a_reload_leaves_the_timer_of_an_unchanged_source(runs: Runs) -> None:
    runs.start("a: every: 1h")
    until(lambda: runs.state("a"))

    runs.reload("a: every: 1h", "fence: every: 10ms")
    until(lambda: runs.count("fence") >= 3)

    assert runs.count("a") == 1


@pytest.mark.parametrize("changed", ["every: 10ms", "every: 1h, headers: {A: b}", "every: 1h, id: item.id"])
def test_a_changed_poll_runs_at_once(runs: Runs, changed: str) -> None:
    runs.start("a: every: 1h")
    until(lambda: runs.state("a"))

    runs.reload(f"a: {changed}")

    until(lambda: runs.count("a") >= 2)


def test_a_removed_or_disabled_source_is_no_longer_polled(runs: Runs) -> None:
    runs.start("a: every: 10ms", "b: every: 10ms")
    until(lambda: runs.count("a") and runs.count("b"))

    runs.reload("b: every: 10ms")
    until(lambda: not [one for one in runs.polling.states() if one.source == "a"])  # type: ignore[union-attr]
    for _ in range(2):  # in the first round a cancelled request may still arrive at the service
        before, others = runs.count("a"), runs.count("b")
        until(lambda: runs.count("b") >= others + 3)  # noqa: B023 - called in this round only
    assert runs.count("a") == before

    runs.reload("a: every: 10ms", "b: every: 10ms")
    until(lambda: runs.count("a") > before)


def test_a_source_is_polled_once_at_a_time_whatever_is_reloaded(runs: Runs) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def answer(asked: Asked) -> Reply:
        nonlocal under_way, most
        if asked.path != "/a":
            return Reply([])
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return Reply([1])

    runs.service.answer = answer
    runs.start("a: every: 10ms")
    for number in range(20):
        runs.reload("b: every: 1h", *([f"a: headers: {{A: b{number}}}"] if number % 3 else []))
        time.sleep(0.005)
    runs.reload("a: every: 10ms")
    before = runs.count("a")
    until(lambda: runs.count("a") > before + 2)

    assert most == 1


def test_the_events_of_a_poll_that_a_reload_overtook_are_not_stored(runs: Runs) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(_: Asked) -> Reply:
        asked.set()
        release.wait(60)
        return Reply(["old"])

    runs.service.answer = answer
    runs.start("a: every: 1h")
    assert asked.wait(60)
    runs.reload("fence: every: 1h")
    release.set()
    until(lambda: runs.state("fence"))

    assert runs.state("a") is None
    assert {event.source for event in runs.store.events()} <= {"fence"}


def test_a_stop_cancels_a_waiting_poll(runs: Runs) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(_: Asked) -> Reply:
        asked.set()
        release.wait(60)
        return Reply([1])

    runs.service.answer = answer
    polling = runs.start("a: every: 1h")
    assert asked.wait(60)

    polling.stop()
    release.set()

    assert not polling._thread.is_alive()
    assert runs.state("a") is None


def test_a_restart_causes_no_early_poll(runs: Runs) -> None:
    runs.start("a: every: 1h")
    until(lambda: runs.state("a"))
    runs.stop()

    runs.start("a: every: 1h", "fence: every: 10ms")
    until(lambda: runs.count("fence") >= 3)

    assert runs.count("a") == 1


def test_a_retry_after_outlasts_a_restart(runs: Runs) -> None:
    runs.service.answer = lambda asked: (
        Reply(status=429, headers={"Retry-After": "120"}) if asked.path == "/a" else Reply([])
    )
    runs.start("a: every: 10ms")
    until(lambda: (state := runs.state("a")) is not None and state.failures)
    runs.stop()

    runs.start("a: every: 10ms", "fence: every: 10ms")
    until(lambda: runs.count("fence") >= 6)

    assert runs.count("a") == 1


@pytest.mark.parametrize("jump", [-86_400_000, 86_400_000])
def test_a_jump_of_the_clock_delays_no_poll(runs: Runs, jump: int) -> None:
    runs.start("a: every: 10ms")
    until(lambda: runs.count("a") >= 2)
    runs.ahead = jump
    before = runs.count("a")
    until(lambda: runs.count("a") >= before + 3)
    runs.stop()
    runs.ahead = 0

    before = runs.count("a")
    runs.start("a: every: 10ms")
    until(lambda: runs.count("a") >= before + 2)


def test_only_the_node_that_leads_polls(runs: Runs) -> None:
    runs.leads = False
    runs.service.body = [1]
    runs.start("a: every: 10ms")
    runs.reload("a: every: 10ms", "b: every: 10ms")
    assert runs.service.asked == []

    runs.leads = True

    until(lambda: runs.count("a") and runs.count("b"))


def test_a_poll_by_another_node_meanwhile_is_noticed(runs: Runs) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(_: Asked) -> Reply:
        asked.set()
        release.wait(60)
        return Reply([1, 2])

    runs.service.answer = answer
    runs.start("a: every: 10ms")
    assert asked.wait(60)
    other = Runs(runs.folder, runs.store, runs.service)
    release.set()
    other.start("a: every: 10ms")
    until(lambda: runs.count("a") >= 6)
    other.stop()
    runs.stop()

    assert len(runs.store.events()) == 2


def test_a_failing_next_page_does_not_delay_polls_of_the_first_page(runs: Runs) -> None:
    items = ["a"]
    runs.service.answer = lambda asked: (
        Reply(status=500) if "page" in asked.path else Reply([items[-1]], headers={"Link": "</a?page=2>; rel=next"})
    )
    runs.start("a: every: 10ms, next: link")
    until(lambda: runs.counted("a", "failed"))
    items.append("b")

    until(lambda: [event.source for event in runs.store.events()].count("a") == 2)


def test_a_full_store_causes_no_extra_polls(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_timer, "STORE_SECONDS", 0.01)
    connection = runs.store._writer._connection  # a database limit stands for the full disk
    runs.service.answer = lambda asked: Reply(["x" * 1_000_000] if asked.path == "/a" else [])
    runs.start("fence: every: 10ms")
    until(lambda: runs.state("fence"))
    connection.pragma("max_page_count", connection.pragma("page_count"))
    runs.reload("a: every: 1h", "fence: every: 10ms")
    until(lambda: runs.count("a"))
    before = runs.count("fence")
    until(lambda: runs.count("fence") > before + 5)
    connection.pragma("max_page_count", 1_000_000_000)

    assert runs.count("a") == 1
    assert runs.state("a") is None


def test_a_store_that_cannot_be_read_is_read_again_after_a_pause(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_timer, "STORE_SECONDS", 3600.0)
    ruleset = runs.load("a: every: 1h")
    runs.store.close()
    with capture_logs() as lines:
        polling = Polling(runs.store, CurrentRuleset(ruleset), lambda: 0, runs.metrics)
        polling.start()
        until(lambda: lines)
        polling.stop()

    assert [line["event"] for line in lines] == ["poll can't be stored at the moment; it will be tried again"]


def test_events_stored_before_a_page_failed_are_logged(runs: Runs) -> None:
    runs.service.answer = lambda asked: (
        Reply(status=500) if "page" in asked.path else Reply([1, 2], headers={"Link": "</a?page=2>; rel=next"})
    )
    runs.start("a: every: 10ms, next: link")
    until(lambda: runs.counted("a", "failed") > 3)

    assert len(runs.store.events()) == 2
    assert sum(runs.metrics.counted().counts[f.EVENTS].values()) == 2


@pytest.mark.parametrize("dry", [True, False])
def test_a_command_and_a_daemon_never_poll_a_source_at_once(runs: Runs, dry: bool) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(_: Asked) -> Reply:
        asked.set()
        release.wait(60)
        return Reply([1, 2])

    runs.service.answer = answer
    runs.start("a: every: 1h")
    assert asked.wait(60)
    assert runs.store.hold_poll("a") is None
    ruleset = runs.load("a: every: 1h")
    source = ruleset.sources["a"]
    assert isinstance(source.poll, PollSpec)
    threading.Timer(0.2, release.set).start()
    with closing(open_operator_store(runs.folder / "store.db")) as store:
        report = poll_once(store, ruleset, source, source.poll, time.time_ns() // 1_000_000, dry=dry)

    assert report.events == []  # the command's poll began after the daemon had stored both
    assert len(runs.store.events()) == 2


def test_a_daemon_waits_for_the_poll_of_a_command(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_loop, "LEAD_SECONDS", 0.01)
    end = runs.store.hold_poll("a")
    assert end is not None
    runs.start("a: every: 10ms", "fence: every: 10ms")
    until(lambda: runs.count("fence") >= 3)
    assert runs.count("a") == 0

    end()

    until(lambda: runs.count("a") >= 2)
