"""Claims with a million pending deliveries over one PostgreSQL: in 1, 10 and 1,000 targets; under retention; and beside
a snapshot that is held open. Each round claims some 64 due deliveries, and settles them.

The rows are copied into the tables directly. The server runs on the same cores as the router.
"""

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from machine import describe
from server_cpu import server_cpu

from router.domain.deliveries import RulesetText, Settlement, State
from router.domain.outcomes import Outcome
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.postgres import Server

NOW = 1_700_000_000_000
BATCH = 64
_EVENTS = """
COPY webhook_router.event
    (writer, id, source, method, path, query, headers, body, ip, received_at, ruleset, matched) FROM STDIN
"""
_DELIVERIES = """
COPY webhook_router.delivery
    (id, event, rule, action, type, target, ruleset, state, next_attempt_at, created_at) FROM STDIN
"""


def fill(url: str, pending: int, targets: int, old: int) -> None:
    """So many pending deliveries, one of each event, and as many events whose deliveries are settled long ago."""
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor().copy(_EVENTS) as copy:
            for number in range(old + pending):
                at = NOW - 10**9 + number if number < old else NOW + number
                copy.write_row((1, f"e{number:09}", "s", "POST", "/", "", "[]", b"{}", "", at, "h", "[]"))
        [(first,)] = connection.execute("SELECT min(seq) FROM webhook_router.event").fetchall()
        with connection.cursor().copy(_DELIVERIES) as copy:
            for number in range(old + pending):
                state, at = ("succeeded", NOW - 10**9) if number < old else ("pending", NOW + number)
                target = f"t{number % targets:04}"
                row = (f"d{number:09}", first + number, "r", "a", "forward", target, "h", state, at, at)
                copy.write_row(row)
        connection.execute("VACUUM ANALYZE webhook_router.event, webhook_router.delivery")


class Rounds:
    """Claims and settles, and what each took."""

    def __init__(self, server: Server, store: PostgresStore, targets: int) -> None:
        assert server.process is not None
        self._process = server.process.pid
        self._store = store
        self._names = [f"t{n:04}" for n in range(targets)]
        self._turn = 0

    def run(self, seconds: float) -> tuple[list[float], float]:
        """For so long. Gives milliseconds of each round, and milliseconds of the server's processor for each."""
        took, until, cpu = [], time.monotonic() + seconds, server_cpu(self._process)
        while time.monotonic() < until or len(took) < 50:
            began = time.monotonic()
            self._round()
            took.append((time.monotonic() - began) * 1000)
        return took, (server_cpu(self._process) - cpu) * 1000 / len(took)

    def _round(self) -> None:
        # As the dispatcher does: from the targets in turn, each its slots.
        chosen = [self._names[(self._turn + n) % len(self._names)] for n in range(min(len(self._names), 16))]
        self._turn += len(chosen)
        each = BATCH // len(chosen)
        claims = self._store.claim(dict.fromkeys(chosen, each), NOW + 10**9).result(60)
        assert len(claims) == each * len(chosen)
        ends = [Settlement(c.delivery.id, c.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW) for c in claims]
        self._store.settle(ends).result(60)


@contextmanager
def held_snapshot(url: str) -> Iterator[None]:
    """A transaction that reads, and is forgotten: dead rows stay as long."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM webhook_router.meta")
        yield


@contextmanager
def retention(url: str) -> Iterator[None]:
    """Removes old events, a small piece after the other, as the node does that leads."""
    over = threading.Event()

    def prune() -> None:
        with closing(PostgresStore(parse_url(url))) as store:
            after = 0
            while not over.is_set():
                began = time.monotonic()
                pruned = store.prune(NOW - 10**8, NOW - 10**8, after).result(60)
                after = pruned.next_after or 0
                over.wait(4 * (time.monotonic() - began))

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def shown(name: str, measured: tuple[list[float], float]) -> tuple[float, float]:
    """Print what was measured; gives the median, and the server's part of it."""
    took, cpu = measured
    parts = statistics.quantiles(took, n=100)
    print(f"  {name:<20} p50 {parts[49]:7.1f} ms   p99 {parts[98]:7.1f} ms   of the server's processor {cpu:5.1f} ms")
    return parts[49], cpu


def measure(server: Server, pending: int, targets: int, seconds: float) -> None:
    """One table with so many targets."""
    url = server.url(server.new_database())
    PostgresStore(parse_url(url)).close()
    began = time.monotonic()
    fill(url, pending, targets, pending // 5)
    print(f"{pending:,} pending in {targets:,} targets (loaded in {time.monotonic() - began:.0f} s)", flush=True)
    with closing(PostgresStore(parse_url(url))) as store:
        store.put_ruleset(RulesetText("h", "rules: []", "/"), 1).result(30)
        rounds = Rounds(server, store, targets)
        rounds.run(min(seconds, 3))
        free = shown("nothing beside", rounds.run(seconds))
        with retention(url):
            shown("under retention", rounds.run(seconds))
        with held_snapshot(url):
            rounds.run(seconds)  # dead rows gather
            held = shown("a snapshot is held", rounds.run(seconds))
        by_clock, by_processor = free[0] / held[0], free[1] / held[1]
        print(f"  with the snapshot {by_clock:.2f} x as fast, by the processor {by_processor:.2f} x", flush=True)


def main() -> None:
    """Measure all of it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pending", type=int, default=1_000_000)
    arguments.add_argument("--targets", default="1,10,1000")
    arguments.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    given = arguments.parse_args()
    print(describe("psycopg"), flush=True)
    # The log may grow, so that no checkpoint falls into a measurement.
    server = Server({"shared_buffers": "256MB", "max_wal_size": "4GB"})
    try:
        for targets in map(int, given.targets.split(",")):
            measure(server, given.pending, targets, given.seconds)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
