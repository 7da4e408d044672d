"""The operator's page on a store of a million events: how long each view takes, and what it costs the intake.

The store is filled by SQL through its own schema, as the daemon would leave it after a week. Then a daemon serves from
it, on SQLite and on PostgreSQL. Each view is asked for while events arrive, and the intake's latency is measured in
turns: alone, and with viewers who look at the live views.
"""

import argparse
import http.client
import itertools
import multiprocessing
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlencode

import apsw
import psycopg
from daemons import Running
from machine import describe
from open_loop import send, share

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from router.daemon.registries import REGISTRIES  # noqa: E402
from router.rules.compile.loader import Loader  # noqa: E402
from router.store.location import store_location  # noqa: E402
from router.store.open import open_store  # noqa: E402
from tests.postgres import Server  # noqa: E402

WEEK = 7 * 86_400_000
TOKEN = "a-token-of-the-benchmark-0123456789"
SOURCES, RULES, TARGETS = 20, 100, 20
PAUSES = "0.5,0.5,1"  #: s, of each viewer between two looks; the page itself asks each third second
WARM_SECONDS, SETTLE_SECONDS = 3, 0.5  #: of load before the first turn, and of rest before each
CPU_ROUNDS = 10  #: of each view, without load; the kernel counts in steps of 10 ms
TARGET_MS, TARGET_RATIO = 100, 1.2

HEADERS = '[["Content-Type","application/json"],["X-Kind","push"],["User-Agent","bench"]]'
BODY = '{"kind":"push","id":%d,"repository":{"name":"shop","owner":"acme"},"text":"' + "x" * 200 + '"}'

# An id as uuid7 makes it: the time in front, so that ids sort by it.
SQLITE_ID = "printf('%08x-%04x-7%03x-8%03x-%012x', ({t}) >> 16, ({t}) & 65535, {n} & 4095, {k}, {n})"
POSTGRES_ID = (
    "lpad(to_hex(({t}) >> 16), 8, '0') || '-' || lpad(to_hex(({t}) & 65535), 4, '0') || '-7' || "
    "lpad(to_hex({n} & 4095), 3, '0') || '-8' || lpad(to_hex({k}), 3, '0') || '-' || lpad(to_hex({n}), 12, '0')"
)
# Of 100 events 5 match no rule. Of deliveries 94 in 100 succeeded. Those that are pending wait for a retry.
STATE = """CASE WHEN n % 100 = 50 THEN 'pending' WHEN n % 100 IN (60, 61) THEN 'dead' WHEN n % 100 = 70 THEN 'cancelled'
    WHEN n % 100 IN (80, 81) THEN 'skipped' ELSE 'succeeded' END"""
SOURCE = f"CASE WHEN n <= 200 THEN 'rare' ELSE 's' || (n % {SOURCES}) END"
RULE = f"CASE WHEN n <= 200 THEN 'rare' ELSE 'rule-' || (n % {RULES}) END"
MATCHED = "n % 100 >= 5"
SKIPPED = "n % 100 IN (80, 81)"


def rules_text() -> str:
    """Rules with all names that the filled rows have."""
    names = [*(f"s{n}" for n in range(SOURCES)), "rare"]
    rules = [*(f"rule-{n}" for n in range(RULES)), "rare"]
    lines = ["sources:", *(f"  {name}: {{verify: none}}" for name in names), "targets:"]
    lines += [f'  target-{n}: {{url: "http://127.0.0.1:9"}}' for n in range(TARGETS)]
    lines.append("rules:")
    for n, name in enumerate(rules):
        source = "rare" if name == "rare" else f"s{n % SOURCES}"
        action = f"{{name: push, forward: {{target: target-{n % TARGETS}}}}}"
        lines.append(f"  - {{name: {name}, source: {source}, match: {{$.kind: push, $.n: {n}}}, actions: [{action}]}}")
    return "\n".join(lines) + "\n"


SQLITE = """
INSERT INTO event (seq, id, source, method, path, query, headers, body, ip, received_at, ruleset, matched)
SELECT n, {event_id}, {source}, 'POST', '/hooks/x', '', '{headers}', CAST(printf('{body}', n) AS BLOB), '192.0.2.1',
    {at}, '{ruleset}', CASE WHEN {is_matched} THEN json_array({rule}) ELSE '[]' END FROM n;
INSERT INTO delivery (seq, id, event, rule, action, type, target, ruleset, state, next_attempt_at, attempts,
    first_attempt_at, created_at, skip_reason, skipped_for)
SELECT n, {delivery_id}, n, {rule}, 'push', 'forward', 'target-' || (n % {targets}), '{ruleset}', {state}, {later}, 1,
    {at}, {at}, CASE WHEN {is_skipped} THEN 'newer' END, CASE WHEN {is_skipped} THEN 'x' END FROM n WHERE {is_matched};
INSERT INTO matched_alone (rule, event) SELECT 'unmatched', n FROM n WHERE NOT ({is_matched});
INSERT INTO attempt (delivery, number, started_at, finished_at, outcome, status, error, excerpt)
SELECT n, 1, {at}, {at} + 9, CASE WHEN {state} = 'succeeded' THEN 'succeeded' ELSE 'retry' END, 200, '', 'ok'
FROM n WHERE {is_matched} AND NOT ({is_skipped})
"""
POSTGRES = """
SET synchronous_commit = off;
INSERT INTO webhook_router.event
    (seq, writer, id, source, method, path, query, headers, body, ip, received_at, ruleset, matched)
SELECT n, 1, {event_id}, {source}, 'POST', '/hooks/x', '', '{headers}', convert_to(format('{body}', n), 'UTF8'),
    '192.0.2.1', {at}, '{ruleset}', CASE WHEN {is_matched} THEN json_build_array({rule})::text ELSE '[]' END FROM {n};
INSERT INTO webhook_router.delivery (seq, id, event, rule, action, type, target, ruleset, state, next_attempt_at,
    attempts, tries, first_attempt_at, created_at, skip_reason, skipped_for)
SELECT n, {delivery_id}, n, {rule}, 'push', 'forward', 'target-' || (n % {targets}), '{ruleset}', {state}, {later}, 1,
    1, {at}, {at}, CASE WHEN {is_skipped} THEN 'newer' END, CASE WHEN {is_skipped} THEN 'x' END
FROM {n} WHERE {is_matched};
INSERT INTO webhook_router.matched_alone (rule, event) SELECT 'unmatched', n FROM {n} WHERE NOT ({is_matched});
INSERT INTO webhook_router.attempt (delivery, number, started_at, finished_at, outcome, status, error, excerpt)
SELECT n, 1, {at}, {at} + 9, CASE WHEN {state} = 'succeeded' THEN 'succeeded' ELSE 'retry' END, 200, '', 'ok'
FROM {n} WHERE {is_matched} AND NOT ({is_skipped});
SELECT setval(pg_get_serial_sequence('webhook_router.event', 'seq'), {count});
SELECT setval(pg_get_serial_sequence('webhook_router.delivery', 'seq'), {count})
"""
# As autovacuum would have done by then.
VACUUM = (
    "VACUUM ANALYZE webhook_router.event, webhook_router.delivery, webhook_router.attempt, webhook_router.matched_alone"
)


def filled(script: str, id_form: str, count: int, ruleset: str, first: int, **more: str) -> list[str]:
    """The statements for rows with times from `first` (ms) on, over a week."""
    at = f"({first} + n * ({WEEK} / {count}))"
    text = script.format(
        event_id=id_form.format(t=at, n="n", k="0"), delivery_id=id_form.format(t=at, n="n", k="1"), at=at,
        later=first + 2 * WEEK, source=SOURCE, rule=RULE, state=STATE, is_matched=MATCHED, is_skipped=SKIPPED,
        headers=HEADERS, targets=TARGETS, ruleset=ruleset, count=count, **more,
    )  # fmt: skip
    return text.split(";\n")


def fill_sqlite(path: Path, count: int, ruleset: str, first: int) -> None:
    """The rows in SQLite."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000")
    numbers = "WITH RECURSIVE n (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)"
    for begin in range(1, count + 1, 50_000):
        with connection:
            for sql in filled(SQLITE, SQLITE_ID, count, ruleset, first, body=BODY):
                connection.execute(f"{numbers} {sql}", (begin, min(count, begin + 49_999)))
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


def fill_postgres(url: str, count: int, ruleset: str, first: int) -> None:
    """The same rows in PostgreSQL."""
    numbers = f"generate_series(1, {count}::bigint) AS n"
    with psycopg.connect(url, autocommit=True) as connection:
        for sql in filled(POSTGRES, POSTGRES_ID, count, ruleset, first, body=BODY.replace("%d", "%s"), n=numbers):
            connection.execute(sql.encode())
        connection.execute(VACUUM.encode())


def prepared(store_text: str, folder: Path) -> str:
    """Make the store with the rules of the rows; gives the rules' hash."""
    ruleset = Loader(REGISTRIES, {}).load(rules_text(), "rules.yaml", folder).require()
    store = open_store(store_location(store_text))
    store.put_ruleset(ruleset.text, 1).result(60)
    store.close()
    return ruleset.hash


class Viewer:
    """A browser that is signed in."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookie = ""
        self.sign_in()

    def sign_in(self) -> None:
        """By the token."""
        self.ask("/sign-in", {"token": TOKEN, "to": "/"})

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        """A page, by GET or by a form."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {"Origin": f"http://127.0.0.1:{self._port}", **({"Cookie": self._cookie} if self._cookie else {})}
        if form is None:
            connection.request("GET", path, headers=headers)
        else:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request("POST", path, urlencode(form), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.getheader("Set-Cookie"):
            self._cookie = answer.getheader("Set-Cookie", "").partition(";")[0]
        connection.close()
        return answer.status, text


def views(viewer: Viewer) -> dict[str, tuple[str, dict[str, str] | None]]:
    """The views, by what they are: address and form."""
    _, listed = viewer.ask("/events?rule=rule-7&until=3d")
    event = re.findall(r'/events/([0-9a-f-]{36})"', listed)[0]
    _, listed = viewer.ask("/deliveries?rule=rule-7")
    delivery = re.findall(r'/deliveries/([0-9a-f-]{36})"', listed)[0]
    _, text = viewer.ask("/events")
    older = re.findall(r"after=(\d+)", text)[0]
    csrf = re.findall(r'name="csrf" value="([^"]+)"', text)[0]
    found: dict[str, tuple[str, dict[str, str] | None]] = {
        "overview, a day": ("/", None),
        "overview, an hour": ("/?span=1h", None),
        "overview, a week": ("/?span=7d", None),
        "one event": (f"/events/{event}", None),
        "one event, the rules of then": (f"/events/{event}?rules=then", None),
        "copies of an event": (f"/events/{event}/copy", None),
        "one delivery": (f"/deliveries/{delivery}", None),
        "targets": ("/targets", None),
        "rules": ("/rules", None),
        "try a change, the text": ("/rules/try", None),
        "try a payload, the form": ("/try", None),
        "try a payload": ("/try", {"csrf": csrf, "source": "s7", "payload": '{"kind": "push", "n": 7}'}),
        "find by the beginning of an id": (f"/find?id={delivery[:20]}", None),
        "confirm a replay of all dead": ("/deliveries/all/replay/confirm", {"csrf": csrf, "query": "state=dead"}),
    }
    for name, query in EVENT_FILTERS.items():
        found[f"events, {name}"] = (f"/events?{query}", None)
    for name, query in DELIVERY_FILTERS.items():
        found[f"deliveries, {name}"] = (f"/deliveries?{query.format(event=event)}", None)
    found["events, older half"] = (f"/events?after={int(older) // 2}", None)
    found["deliveries, older half"] = (f"/deliveries?after={int(older) // 2}", None)
    return found


_TIMES = {"last hour": "since=1h", "a day three days ago": "since=4d&until=3d", "older than six days": "until=6d"}
EVENT_FILTERS = {
    "all": "",
    "a source": "source=s7",
    "a rare source": "source=rare",
    "no such source": "source=nobody",
    "a rule": "rule=rule-7",
    "a rare rule": "rule=rare",
    "no such rule": "rule=nobody",
    "unmatched": "unmatched=1",
    **{state: f"state={state}" for state in ("pending", "running", "succeeded", "dead", "cancelled", "skipped")},
    "a rule and dead": "rule=rule-60&state=dead",
    "a rare source and dead": "source=rare&state=dead",
    "a rule and another source": "rule=rule-7&source=s8",
    "unmatched of a rare source": "source=rare&unmatched=1",
    "a source, older than six days": "source=s7&until=6d",
    "dead, older than six days": "state=dead&until=6d",
    "unmatched, older than six days": "unmatched=1&until=6d",
    **_TIMES,
}
DELIVERY_FILTERS = {
    "all": "",
    **{state: f"state={state}" for state in ("pending", "running", "succeeded", "dead", "cancelled", "skipped")},
    "a rule": "rule=rule-7",
    "a rare rule": "rule=rare",
    "no such rule": "rule=nobody",
    "a target": "target=target-7",
    "no such target": "target=nobody",
    "no such action": "action=nobody",
    "a source": "source=s7",
    "a rare source": "source=rare",
    "no such source": "source=nobody",
    "an event": "event={event}",
    "a target and dead": "target=target-0&state=dead",
    "a target and succeeded": "target=target-7&state=succeeded",
    "a rare source and dead": "source=rare&state=dead",
    "a rule and another target": "rule=rule-7&target=target-8",
    "a rule, older than six days": "rule=rule-7&until=6d",
    **_TIMES,
}


@contextmanager
def serving(store: str, folder: Path) -> Iterator[tuple[Running, int]]:
    """A daemon, and the port of its page."""
    rules = folder / "rules.yaml"
    rules.write_text(rules_text())
    ports = [_free_port(), _free_port()]
    flags = [
        "--listen",
        f"127.0.0.1:{ports[0]}",
        "--admin",
        f"127.0.0.1:{ports[1]}",
        "--store",
        store,
        "--keep",
        "forever",
    ]
    program = Path(sys.executable).with_name("webhook-router")
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [str(program), "serve", str(rules), *flags, "--log-level", "warning"],
            env={**os.environ, "WEBHOOK_ROUTER_ADMIN_TOKEN": TOKEN}, stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
        try:
            _wait_until_ready(ports[1])
            yield Running(ports[0], daemon.pid), ports[1]
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_until_ready(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        if time.monotonic() > until:
            raise TimeoutError("the daemon is not ready")
        time.sleep(0.1)


def arriving(moment: int) -> bytes:
    """One request of a sender; no rule matches it, so that no delivery competes."""
    body = b'{"kind": "push", "n": -1, "text": "' + b"x" * 500 + b'"}'
    head = f"POST /hooks/s7 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX-Sent: {moment}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


@contextmanager
def beside(*works: "threading.Thread", stop: threading.Event) -> Iterator[None]:
    """Threads that work meanwhile."""
    for work in works:
        work.start()
    try:
        yield
    finally:
        stop.set()
        for work in works:
            work.join()


def measure_views(daemon: Running, admin: int, rate: float, rounds: int) -> None:
    """What each view takes: of the daemon's processor alone, and until its answer while events arrive."""
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            send(daemon.port, arriving, rate, 2)

    viewer = Viewer(admin)
    slow = 0
    cpu: dict[str, float] = {}
    for name, (path, form) in views(viewer).items():
        begun = daemon.cpu_seconds()
        for _ in range(CPU_ROUNDS):
            viewer.ask(path, form)
        cpu[name] = (daemon.cpu_seconds() - begun) / CPU_ROUNDS * 1000
    with beside(threading.Thread(target=load), stop=stop):
        for name, (path, form) in views(viewer).items():
            took = []
            for _ in range(rounds):
                begun = time.perf_counter()
                status, _ = viewer.ask(path, form)
                took.append((time.perf_counter() - begun) * 1000)
                assert status in (200, 303), (name, status)
            median = statistics.median(took)
            slow += median > TARGET_MS
            slow_mark = "  SLOW" if median > TARGET_MS else ""
            print(f"  {name:<42} {cpu[name]:>6.0f} {median:>8.1f} {max(took):>8.1f}{slow_mark}", flush=True)
    print(f"  views whose median is above {TARGET_MS} ms: {slow}")


TURNS = ("alone", "beside viewers", "alone again")


def measure_intake(intake: int, admin: int, given: argparse.Namespace) -> None:
    """The intake's latency, in turns without and with viewers. Two kinds of turns are alone: their ratio is noise."""
    pauses = [float(pause) for pause in given.pauses.split(",")]
    found: dict[str, list[list[float]]] = {name: [] for name in TURNS}
    with viewers(admin, pauses) as looking:
        looking.set()
        send(intake, arriving, given.rate, WARM_SECONDS)
        for turn in range(given.turns):
            for name in TURNS[turn % 3 :] + TURNS[: turn % 3]:
                (looking.set if name == "beside viewers" else looking.clear)()
                time.sleep(SETTLE_SECONDS)
                found[name].append(send(intake, arriving, given.rate, given.seconds).answer_ms)
    for name, turns in found.items():
        p99 = [share(one, 0.99) for one in turns]
        pooled = sorted(ms for one in turns for ms in one)
        print(
            f"  intake, {name:<15} p50 {share(pooled, 0.5):.2f}, p99 of all {share(pooled, 0.99):.2f}, median of the "
            f"turns' p99 {statistics.median(p99):.2f} ms   ({', '.join(f'{ms:.1f}' for ms in p99)})"
        )
    print(f"  ratio of the p99 to alone, target {TARGET_RATIO}: {_ratio(found, 'beside viewers')}")
    print(f"  the same of alone again, which is noise: {_ratio(found, 'alone again')}")


def _ratio(found: dict[str, list[list[float]]], name: str) -> str:
    """By the median of the turns, and by all answers together."""
    medians, pooled = [], []
    for one in (name, "alone"):
        medians.append(statistics.median(share(turn, 0.99) for turn in found[one]))
        pooled.append(share(sorted(ms for turn in found[one] for ms in turn), 0.99))
    return f"{medians[0] / medians[1]:.2f} (all together {pooled[0] / pooled[1]:.2f})"


@contextmanager
def viewers(admin: int, pauses: list[float]) -> Iterator[Event]:
    """A process that looks while the event is set. In the sender's own it would disturb the sender's clock."""
    context = multiprocessing.get_context("spawn")
    looking = context.Event()
    process = context.Process(target=look_all, args=(admin, pauses, looking), daemon=True)
    process.start()
    try:
        yield looking
    finally:
        process.terminate()
        process.join()


def look_all(admin: int, pauses: list[float], looking: Event) -> None:
    """The viewers' process. It gives way to all others, since it stands for browsers on other machines."""
    os.nice(19)
    threads = [threading.Thread(target=look, args=(admin, pause, looking), daemon=True) for pause in pauses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def look(admin: int, pause: float, looking: Event) -> None:
    """A viewer whose live views update themselves."""
    viewer, paths = Viewer(admin), ("/", "/events", "/deliveries", "/targets", "/deliveries?state=dead")
    for at in itertools.count():
        looking.wait()
        viewer.ask(paths[at % len(paths)])
        time.sleep(pause)


def run(name: str, store: str, folder: Path, given: argparse.Namespace) -> None:
    """Measure one store."""
    with serving(store, folder) as (daemon, admin):
        if given.rounds:
            print(f"\n{name}: views while {given.rate:g} events a second arrive, ms")
            print(f"  {'':<42} {'CPU':>6} {'median':>8} {'worst':>8}")
            measure_views(daemon, admin, given.rate, given.rounds)
        print(f"\n{name}: the intake at {given.rate:g} events a second; viewers look each {given.pauses} s")
        measure_intake(daemon.port, admin, given)


def main() -> None:
    """Fill and measure both."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=7, help="of each view; 0: measure the intake alone")
    arguments.add_argument("--rate", type=float, default=100.0, help="events a second that arrive meanwhile")
    arguments.add_argument("--turns", type=int, default=6, help="of the intake, alone and beside viewers")
    arguments.add_argument("--seconds", type=float, default=8.0, help="of each turn")
    arguments.add_argument("--pauses", default=PAUSES, help="of each viewer between two looks, s")
    arguments.add_argument("--only", choices=("sqlite", "postgresql"))
    arguments.add_argument("--folder", type=Path, help="keep the SQLite store there, and use it again")
    given = arguments.parse_args()
    print(describe("falcon", "apsw", "psycopg"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        first = time.time_ns() // 1_000_000 - WEEK
        if given.only != "postgresql":
            path = folder / "events.db"
            if not path.exists():
                begun = time.perf_counter()
                fill_sqlite(path, given.events, prepared(f"sqlite:{path}", folder), first)
                print(f"SQLite: {given.events:,} events filled in {time.perf_counter() - begun:.0f} s")
            run("SQLite", f"sqlite:{path}", folder, given)
        if given.only != "sqlite":
            server = Server()
            server.start()
            try:
                url = server.url(server.new_database())
                begun = time.perf_counter()
                fill_postgres(url, given.events, prepared(url, folder), first)
                print(f"PostgreSQL: {given.events:,} events filled in {time.perf_counter() - begun:.0f} s")
                run("PostgreSQL", url, folder, given)
            finally:
                server.stop()
                server.remove()


if __name__ == "__main__":
    main()
