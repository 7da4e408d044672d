"""What counting costs the stations, and a scrape the machine.

The calls that an event, its delivery and a commit make, in nanoseconds each (the best of five rounds); then a scrape of
10 to 10,000 rules, each with a target of its own that has been used: its size, and the time that it takes alone.
"""

import tempfile
import time
import timeit
from contextlib import closing
from pathlib import Path

from machine import describe

from router.admin.metrics.expiry import MetricExpiry
from router.admin.metrics.exposition import Exposition, GaugeSources
from router.daemon.registries import REGISTRIES
from router.daemon.wall_clock import now_ms
from router.delivery.dispatcher import Dispatcher
from router.domain.deliveries import State
from router.domain.outcomes import OutcomeKind
from router.observe.metrics import Metrics
from router.rules.compile.loader import Loader
from router.rules.ruleset import CurrentRuleset
from router.store.contract import StoreSize
from router.store.sqlite.store import SqliteStore

ROUNDS = 200_000
RULE = "  - {{name: rule-{0}, match: {{$.a: {0}}}, actions: [append: out-{0}.jsonl]}}\n"


def event(metrics: Metrics, rule: str = "rule", source: str = "a") -> None:
    """What the intake counts of one event."""
    metrics.received(source, (rule,), 0.004)
    metrics.answered(source, 202)


def delivery(metrics: Metrics, rule: str = "rule", target: str = "rule/append") -> None:
    """What a delivery counts that succeeds at once."""
    metrics.attempted(rule, "append", target, OutcomeKind.SUCCEEDED, 0.02, State.SUCCEEDED, 0.1)


def commit(metrics: Metrics) -> None:
    """What the store counts of one transaction."""
    metrics.committed(12, 0.003)


def scrape(folder: Path, count: int) -> str:
    """A line about the scrape of so many rules."""
    text = "sources: {a: {verify: none}}\nrules:\n" + "".join(RULE.format(number) for number in range(count))
    ruleset = Loader(REGISTRIES, {}).load(text, "rules.yaml", folder).require()
    current, metrics = CurrentRuleset(ruleset), Metrics()
    for rule in ruleset.rules:
        event(metrics, rule.name)
        delivery(metrics, rule.name, f"{rule.name}/append")
    with closing(SqliteStore(folder / f"{count}.db")) as store:
        dispatcher = Dispatcher(current, store, lambda _: ruleset, REGISTRIES.actions, now_ms)
        sights = GaugeSources(
            loads=dispatcher.loads,
            ready=store.writable,
            store_healthy=store.writable,
            connections=lambda: (1, 1024),
            lines_lost=lambda: 0,
            busy=lambda: False,
            disk=lambda: StoreSize(1, 1, 1),
        )
        exposition = Exposition(metrics, MetricExpiry(metrics, current, store), current, store, sights, now_ms)
        took = []
        for _ in range(3):
            began = time.perf_counter()
            body = exposition.reply().body
            took.append(time.perf_counter() - began)
    size, lines = len(body) / 1024, len(body.splitlines())
    return f"{count:>6} rules {size:>8,.0f} KiB {lines:>8,} lines {min(took) * 1000:>8,.1f} ms"


def main() -> None:
    print(describe("prometheus-client"))
    metrics = Metrics()
    for call in (event, delivery, commit):
        best = min(timeit.repeat(lambda call=call: call(metrics), number=ROUNDS, repeat=5)) / ROUNDS
        print(f"{call.__name__:>9} {best * 1e9:>6,.0f} ns")
    with tempfile.TemporaryDirectory() as name:
        for count in (10, 100, 1000, 10_000):
            print(scrape(Path(name), count), flush=True)


if __name__ == "__main__":
    main()
