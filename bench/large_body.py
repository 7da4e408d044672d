"""Commits of small events beside one body of 25 MB, in each store: how long others wait for it.

A thread appends events of 7 kB by a timetable, first alone, then while another thread appends one body of 25 MB.
Measured is the time from the moment in the timetable to the committed answer, the median of the rounds. For SQLite also
the longest transactions: of the small events, of a piece of the large body, and of folding the log.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe

from router.domain.deliveries import RulesetText
from router.domain.events import Event
from router.domain.ids import uuid7
from router.store.contract import Store
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from router.store.sqlite import checkpoint, writer
from router.store.sqlite.store import SqliteStore
from tests.postgres import Server

SMALL, LARGE = os.urandom(7057), os.urandom(25 * 1024 * 1024)
took: dict[str, list[float]] = defaultdict(list)  #: ms of SQLite's transactions, by kind


def event(body: bytes) -> Event:
    now = int(time.time() * 1000)
    return Event(uuid7(now), "github", "POST", "/hooks/github", "", (("X-A", "1"),), body, "127.0.0.1", now)


def waits(store: Store, rate: float, seconds: float, *, large: bool) -> tuple[list[float], float]:
    """ms of each small append, and of the large one."""
    found: list[float] = []
    ended = threading.Event()

    def send() -> None:
        for number in itertools.count(1):
            moment = began + number / rate
            time.sleep(max(0.0, moment - time.monotonic()))
            future = store.append(event(SMALL), [], "r1")
            future.add_done_callback(lambda _, moment=moment: found.append((time.monotonic() - moment) * 1000))
            if ended.is_set():
                future.result()
                return

    began = time.monotonic()
    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(seconds / 4)
    start = time.monotonic()
    if large:
        store.append(event(memoryview(LARGE)), [], "r1").result()  # as it comes from a process
    of_large = (time.monotonic() - start) * 1000
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    ended.set()
    sender.join()
    return sorted(found), of_large


def measure(name: str, stores: Iterator[Store], rate: float, seconds: float) -> None:
    rows: list[tuple[float, ...]] = []
    for store in stores:
        store.put_ruleset(RulesetText("r1", "rules: []", "/"), 1).result()
        waits(store, rate, 1, large=False)
        alone, _ = waits(store, rate, seconds, large=False)
        beside, of_large = waits(store, rate, seconds, large=True)
        rows.append(
            (at(alone, 0.5), at(alone, 0.99), alone[-1], at(beside, 0.5), at(beside, 0.99), beside[-1], of_large)
        )
    columns = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(
        f"{name:<11}" + " ".join(f"{value:>8.2f}" for value in columns) + f" {columns[4] / columns[1]:>7.2f}",
        flush=True,
    )


def at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def sqlite_stores(rounds: int) -> Iterator[Store]:
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder,
            closing(SqliteStore(Path(folder) / "store.db")) as store,
        ):
            yield store


def postgres_stores(server: Server, rounds: int) -> Iterator[Store]:
    for _ in range(rounds):
        with closing(PostgresStore(parse_url(server.url(server.new_database())))) as store:
            yield store


@contextmanager
def timed() -> Iterator[None]:
    """Note what each of SQLite's transactions takes."""
    transaction, fold = writer.Writer._transaction, checkpoint._fold

    def noted(kind: str, began: float) -> None:
        took[kind].append((time.perf_counter() - began) * 1000)

    def timed_transaction(self: writer.Writer, jobs: list, changes: object) -> list:
        began = time.perf_counter()
        try:
            return transaction(self, jobs, changes)
        finally:
            noted(type(jobs[0]).__name__, began)

    def timed_fold(connection: object) -> int:
        began = time.perf_counter()
        try:
            return fold(connection)
        finally:
            noted(f"fold by {threading.current_thread().name}", began)

    writer.Writer._transaction, checkpoint._fold = timed_transaction, timed_fold
    try:
        yield
    finally:
        writer.Writer._transaction, checkpoint._fold = transaction, fold


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rate", type=float, default=200, help="small events a second")
    arguments.add_argument("--seconds", type=float, default=5, help="of each load")
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    print(describe("apsw", "psycopg"))
    print(f"{given.rate:g} events/s for {given.seconds:g} s a load, median of {given.rounds}; ms to the commit")
    titles = ("p50", "p99", "max", "p50", "p99", "max", "large")
    print(f"{'':<11}" + " ".join(f"{title:>8}" for title in titles) + "   p99 x")
    with timed():
        measure("SQLite", sqlite_stores(given.rounds), given.rate, given.seconds)
    server = Server()
    try:
        measure("PostgreSQL", postgres_stores(server, given.rounds), given.rate, given.seconds)
    finally:
        server.remove()
    print("SQLite's transactions   number      p50      p99      max")
    for kind, all_ in took.items():
        all_.sort()
        print(f"{kind:<22} {len(all_):>7} {at(all_, 0.5):>8.2f} {at(all_, 0.99):>8.2f} {all_[-1]:>8.2f}")


if __name__ == "__main__":
    main()
