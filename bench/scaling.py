"""A PostgreSQL store beside a SQLite file, in the same run on the same machine: appends a second, latency, three nodes
beside one, takeover.

The server runs on the same cores as the router and the senders. The two stores take turns, some rounds of each, since
the machine may do other things too; the processor's time of each append hardly depends on that.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from server_cpu import server_cpu

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.events import Event
from router.domain.ids import uuid7
from router.store.contract import Store
from router.store.location import store_location
from router.store.open import open_store
from tests.acceptance.fleet import RULES, Fleet, Senders
from tests.conftest import Receiver
from tests.postgres import Server

BODY = b'{"x": "' + b"y" * 7000 + b'"}'


def appends(store: Store, senders: int, seconds: float) -> float:
    """Durable events a second, with so many senders that each wait for their answer."""
    counts, until = [0] * senders, time.monotonic() + seconds

    def send(number: int) -> None:
        while time.monotonic() < until:
            now = time.time_ns() // 1_000_000
            headers = (("Content-Type", "application/json"),)
            event = Event(uuid7(now), "open", "POST", "/hooks/open", "", headers, BODY, "127.0.0.1", now)
            store.append(event, [PlannedDelivery(uuid7(now), "r", "a", "forward", "t")], "h").result(60)
            counts[number] += 1

    threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def opened(text: str) -> Store:
    """A store with the rules that appends name."""
    store = open_store(store_location(text))
    store.put_ruleset(RulesetText("h", "rules: []", "/"), 1).result(30)
    return store


@dataclass
class Appended:
    """What some rounds of appends gave."""

    rates: list[float] = field(default_factory=list)  #: a second
    router: list[float] = field(default_factory=list)  #: microseconds of the processor for each, senders included
    server: list[float] = field(default_factory=list)  #: the same, of PostgreSQL


def compare(server: Server, folder: Path, seconds: float, rounds: int) -> None:
    """Appends of both stores."""
    stores = {
        "SQLite": opened(f"sqlite:{folder / 'events.db'}"),
        "PostgreSQL": opened(server.url(server.new_database())),
    }
    print(
        f"appends a second, 7 kB bodies, one delivery each: the middle of {rounds} rounds, and processor time for each"
    )
    for senders in (1, 16, 64, 256):
        found = {name: Appended() for name in stores}
        for _ in range(rounds):
            for name, store in stores.items():
                _round(server, store, senders, seconds, found[name])
        sqlite, postgres = found["SQLite"], found["PostgreSQL"]
        ratio = statistics.median(p / s for p, s in zip(postgres.rates, sqlite.rates, strict=True))
        print(
            f"  {senders:>3} senders  {_shown('SQLite', sqlite)}  {_shown('PostgreSQL', postgres)}  {ratio:.2f} x",
            flush=True,
        )
    for store in stores.values():
        store.close()


def _round(server: Server, store: Store, senders: int, seconds: float, found: Appended) -> None:
    assert server.process is not None
    ours, theirs = time.process_time(), server_cpu(server.process.pid)
    rate = appends(store, senders, seconds)
    number = max(1.0, rate * seconds)
    found.rates.append(rate)
    found.router.append((time.process_time() - ours) / number * 1e6)
    found.server.append((server_cpu(server.process.pid) - theirs) / number * 1e6)


def _shown(name: str, found: Appended) -> str:
    middle = statistics.median
    router, server = middle(found.router), middle(found.server)
    beside = f" + {server:3.0f}" if name == "PostgreSQL" else ""
    return f"{name} {middle(found.rates):6,.0f} ({router:4.0f}{beside} us)"


def nodes(server: Server, folder: Path, seconds: float) -> None:
    """Events that come by HTTP and are delivered, by one node and by three."""
    for count in (1, 3):
        receiver = Receiver()
        receiver.start()
        (folder / str(count)).mkdir()
        fleet = Fleet(folder / str(count), server, RULES.replace("URL", receiver.url))
        try:
            serving = [fleet.start() for _ in range(count)]
            began, senders = time.monotonic(), Senders(lambda serving=serving: serving, threads=16)  # type: ignore[misc]
            time.sleep(seconds)
            senders.stop()
            while fleet.unsettled():
                time.sleep(0.05)
            took = time.monotonic() - began
            print(
                f"{count} node{'s' * (count > 1)}: {len(senders.ids) / took:,.0f} events a second by HTTP, delivered",
                flush=True,
            )
        finally:
            fleet.close()
            receiver.stop()


def latency(server: Server, folder: Path, count: int) -> None:
    """From POST to the target, at 100 a second through one node."""
    receiver = Receiver()
    receiver.start()
    fleet = Fleet(folder, server, RULES.replace("URL", receiver.url))
    took: list[float] = []
    try:
        node = fleet.start()
        for number in range(count):
            began = time.monotonic()
            node.post("/hooks/open", b'{"lane": %d}' % number, {"X-Key": str(number)})
            while len(receiver.requests) <= number and time.monotonic() < began + 5:
                time.sleep(0.0005)
            took.append((time.monotonic() - began) * 1000)
            time.sleep(max(0.0, 0.01 - (time.monotonic() - began)))
        parts = statistics.quantiles(took, n=100)
        print(f"from POST to target, at most 100 a second: p50 {parts[49]:.1f} ms, p99 {parts[98]:.1f} ms")
    finally:
        fleet.close()
        receiver.stop()


def takeover(server: Server, folder: Path, lease: float) -> None:
    """From the kill of a node to the second attempt at what it had running, by another one."""
    receiver = Receiver()
    receiver.start()
    fleet = Fleet(folder, server, RULES.replace("URL/sent", receiver.url + "/hang"), lease=lease)
    try:
        first = fleet.start()
        first.post("/hooks/open", b"{}", {"X-Key": "1"})
        while not receiver.requests:
            time.sleep(0.01)
        fleet.start()
        time.sleep(lease)
        began = time.monotonic()
        first.kill()
        while len(receiver.requests) < 2:
            time.sleep(0.01)
        seconds = time.monotonic() - began
        print(f"takeover with a lease of {lease:g} s: {seconds:.1f} s, {seconds / lease:.2f} leases")
    finally:
        fleet.close()
        receiver.stop()


def main() -> None:
    """Measure all of it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=2.0, help="of each round of appends")
    arguments.add_argument("--rounds", type=int, default=5, help="of appends to each store")
    arguments.add_argument("--events", type=int, default=1000, help="for the latency")
    given = arguments.parse_args()
    print(describe("apsw", "psycopg"), flush=True)
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as name:
            for part in ("latency", "nodes", "takeover"):
                (Path(name) / part).mkdir()
            compare(server, Path(name), given.seconds, given.rounds)
            latency(server, Path(name) / "latency", given.events)
            nodes(server, Path(name) / "nodes", 10.0)
            takeover(server, Path(name) / "takeover", 15.0)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
