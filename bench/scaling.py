"""A PostgreSQL store beside a SQLite file, in the same run on the same machine: appends a second, latency, takeover.

The server runs on the same cores as the router and the senders.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.events import Event
from router.domain.ids import uuid7
from router.store.contract import Store
from router.store.location import store_location
from router.store.open import open_store
from tests.acceptance.fleet import RULES, Fleet
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


def compare(server: Server, folder: Path, seconds: float) -> None:
    """Appends of both stores."""
    stores: dict[str, Callable[[], Store]] = {
        "SQLite": lambda: opened(f"sqlite:{folder / 'events.db'}"),
        "PostgreSQL": lambda: opened(server.url(server.new_database())),
    }
    found: dict[str, dict[int, float]] = {}
    for name, make in stores.items():
        store = make()
        found[name] = {senders: appends(store, senders, seconds) for senders in (1, 16, 64, 256)}
        store.close()
    print("appends a second, 7 kB bodies, one delivery each")
    for senders in (1, 16, 64, 256):
        sqlite, postgres = found["SQLite"][senders], found["PostgreSQL"][senders]
        print(f"  {senders:>3} senders  SQLite {sqlite:7,.0f}  PostgreSQL {postgres:7,.0f}  {postgres / sqlite:.2f}")


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
    arguments.add_argument("--seconds", type=float, default=5.0, help="of each measurement of appends")
    arguments.add_argument("--events", type=int, default=1000, help="for the latency")
    given = arguments.parse_args()
    print(describe("apsw", "psycopg"), flush=True)
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as name:
            for part in ("latency", "takeover"):
                (Path(name) / part).mkdir()
            compare(server, Path(name), given.seconds)
            latency(server, Path(name) / "latency", given.events)
            takeover(server, Path(name) / "takeover", 15.0)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
