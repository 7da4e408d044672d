"""From POST to receipt at the target: latency at given rates, and the highest rate that can go on for ever.

A push payload of 7 kB with a GitHub signature is posted to a daemon with ten rules, of which one matches and forwards
the event to a receiver on the same machine, as sender and daemon are. Every process takes its time from
CLOCK_MONOTONIC. In one run:
  - latency: a sender that keeps to its timetable (open_loop.py) at 10, 100 and 500 events/s; from the moment in the
    timetable to the receipt of the whole request at the target, and to the 202;
  - intake alone: wrk (a Debian package) posts as fast as it is answered to a source of the same daemon whose events
    match no rule; before and after the next, whose ratio is to the mean of both;
  - end to end: wrk posts as fast as it is answered, and then at a rate that is lowered until it is sustained: each
    answer a 202, every event received by the target and settled as succeeded in the store within a second of the last
    answer, and no more than a quarter of a second's events waiting at the end of the load;
  - CPU µs for each delivered event, with each number of processes, and with `--beside TREE` the daemon of another
    clone: short loads in turn, whose medians say more on a busy machine than rates do.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from daemons import Form, Running, counts, with_processes
from daemons import daemon as running_daemon
from machine import describe
from open_loop import send, share
from push import push, script, signature
from wrk import Log, measure

SETTLED_SECONDS = 1.0
WAITING_SECONDS = 0.25
PATIENCE_SECONDS = 120.0
RULES = """
sources:
  github: {verify: {scheme: github, secret: {env: BENCH_SECRET}}, dedupe: none}
  unrouted: {verify: {scheme: github, secret: {env: BENCH_SECRET}}, dedupe: none}
targets:
  service: {url: "http://127.0.0.1:%d", concurrency: %d}
rules:
  - name: main
    source: github
    match: {headers.X-GitHub-Event: push, $.ref: refs/heads/main, $.repository.full_name: acme/api}
    actions: [forward: {target: service, path: /, pass_headers: [X-Sent]}]
"""
RULE = """
  - name: rule-%d
    source: "*"
    match: {headers.X-GitHub-Event: push, $.ref: refs/heads/release-%d, $.repository.full_name: acme/service-%d}
    actions: [append: never.jsonl]
"""
# wrk asks after each answer how many ms to wait; without a rate it is never asked.
PACE = """
local ffi = require("ffi")
ffi.cdef[[typedef struct {long seconds; long nanoseconds;} moment; int clock_gettime(int clock, moment *now);]]
local now, due = ffi.new("moment"), nil
function delay()
  ffi.C.clock_gettime(1, now)
  local ms = tonumber(now.seconds) * 1e3 + tonumber(now.nanoseconds) / 1e6
  due = due or ms
  local left = due - ms
  due = due + 1e3 / %f
  return left > 0 and math.floor(left) or 0
end
"""


@dataclass(frozen=True)
class Receiver:
    """The target."""

    port: int
    others: tuple[int, ...] = ()  #: ports that misbehave

    def take(self) -> dict[str, Any]:
        """What came since the last time."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/") as response:
            found: dict[str, Any] = json.load(response)
            return found


@contextmanager
def receiver(*bad: str, seconds: float = 30.0) -> Iterator[Receiver]:
    """receiver.py, running, with its bad ports."""
    program = [sys.executable, str(Path(__file__).with_name("receiver.py")), "--seconds", str(seconds), "--bad", *bad]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ports = [int(process.stdout.readline()) for _ in range(1 + len(bad))]
        yield Receiver(ports[0], tuple(ports[1:]))
    finally:
        process.kill()
        process.wait(30)


@contextmanager
def daemon(folder: Path, rules: str, flags: tuple[str, ...] = ()) -> Iterator[tuple[int, Log]]:
    """Our daemon; its port and what it logs."""
    with running_daemon(folder, rules, Form("", flags)) as running:
        yield running.port, running.log


class Rows:
    """Counts in the store."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)

    def waiting(self, target: str | None = None) -> int:
        return self._count("state IN ('pending', 'running')" + (f" AND target = '{target}'" if target else ""))

    def succeeded(self) -> int:
        return self._count("state = 'succeeded'")

    def _count(self, where: str) -> int:
        return int(str(self._connection.execute(f"SELECT count(*) FROM delivery WHERE {where}").get))

    def states(self) -> Counter[tuple[str, str]]:
        """How many deliveries there are by target and state."""
        rows = self._connection.execute("SELECT target, state, count(*) FROM delivery GROUP BY 1, 2")
        return Counter({(str(target), str(state)): int(str(count)) for target, state, count in rows})

    def settled_within(self, seconds: float, target: str | None = None) -> float | None:
        """Seconds until nothing waits, or nothing for a target; none when that takes longer."""
        begun = time.monotonic()
        while self.waiting(target):
            if time.monotonic() - begun > seconds:
                return None
            time.sleep(0.02)
        return time.monotonic() - begun


def request(path: str, body: bytes, port: int) -> tuple[bytes, bytes]:
    """The parts of a request before and after the value of its X-Sent."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n"
        f"X-Hub-Signature-256: {signature(body)}\r\nContent-Length: {len(body)}\r\nX-Sent: "
    )
    return head.encode(), b"\r\n\r\n" + body


def latency(port: int, target: Receiver, rows: Rows, body: bytes, rate: float, seconds: float) -> str:
    """One line of the table."""
    before, after = request("/hooks/github", body, port)
    target.take()
    sent = send(port, lambda moment: before + b"%d" % moment + after, rate, seconds)
    settled = rows.settled_within(10)
    found = target.take()
    late, answers = found["late"], sent.answer_ms
    note = "" if found["events"] == sent.answered == sent.requests and settled is not None else (
        f"  {sent.answered} of {sent.requests} answered 202, {found['events']} received"
    )  # fmt: skip
    return (
        f"{rate:>8,.0f}/s {share(late, 0.5):>9.2f} {share(late, 0.99):>8.2f} {late[-1] if late else 0:>8.2f}"
        f" {share(answers, 0.5):>9.2f} {share(answers, 0.99):>8.2f}{note}"
    )


@dataclass(frozen=True)
class Run:
    """One load of wrk."""

    rate: float  #: answers a second
    waiting: int  #: deliveries, at the end of the load
    most: int  #: that ever waited
    drained: float  #: seconds after the load until nothing waited
    received: int  #: events that the target got
    delivered: int  #: deliveries that became succeeded
    errors: str

    @property
    def sustained(self) -> bool:
        in_time = self.waiting <= WAITING_SECONDS * self.rate and self.drained <= SETTLED_SECONDS
        return in_time and not self.errors and self.received == self.delivered

    def __str__(self) -> str:
        return (
            f"{self.rate:,.0f}/s answered, {self.delivered:,} delivered, {self.waiting:,} waiting at the end"
            f" ({self.most:,} at most), none {self.drained:.2f} s later; {self.errors or 'no errors'}:"
            f" {'sustained' if self.sustained else 'not sustained'}"
        )


def load(url: str, post: Path, target: Receiver, rows: Rows, seconds: int, connections: int, patience: float) -> Run:
    """Load the daemon, and watch what waits."""
    target.take()
    before, most, stop = rows.succeeded(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.25):
            most.append(rows.waiting())

    watcher = threading.Thread(target=watch)
    watcher.start()
    measured = measure(url, post, seconds, connections)
    waiting = rows.waiting()
    stop.set()
    watcher.join()
    drained = rows.settled_within(patience)
    if drained is None:
        raise SystemExit(f"{rows.waiting():,} deliveries still wait after {patience:g} s")
    found = target.take()
    return Run(measured.rate, waiting, max(most), drained, found["events"], rows.succeeded() - before, measured.errors)


def in_turn(target: Receiver, body: bytes, given: argparse.Namespace) -> None:
    """Load the daemons in turn: CPU of each delivered event, and how many a second from the first POST to the last."""
    forms = [Form(f"{number} process{'es' if number > 1 else ''}", flags)
             for number, flags in with_processes(given.processes)]  # fmt: skip
    forms += [Form("beside", tree=given.beside)] if given.beside else []
    found: dict[str, list[tuple[float, float]]] = {form.name: [] for form in forms}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, ExitStack() as stack:
        folder = Path(name)
        post = script(folder, body)
        daemons: dict[str, tuple[Running, Rows]] = {}
        for number, form in enumerate(forms):
            running = stack.enter_context(running_daemon(folder / str(number), rules_for(target, given), form))
            daemons[form.name] = running, Rows(folder / str(number) / "store.db")
        for turn in range(given.rounds + 1):
            for form in forms[:: -1 if turn % 2 else 1]:
                measured = one_load(*daemons[form.name], post, given)
                if turn:  # the first is for warming up
                    found[form.name].append(measured)
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    print(f"in turn, {given.rounds} loads of {given.turn_seconds} s each, medians")
    for name, (cpu, rate) in medians.items():
        old = medians.get("beside")
        ratio = f"  {cpu / old[0]:.2f} x its CPU, {rate / old[1]:.2f} x its rate" if old and name != "beside" else ""
        print(f"{name:<12} {cpu:>6.0f} µs CPU a delivered event, {rate:>6,.0f}/s delivered{ratio}", flush=True)


def one_load(running: Running, rows: Rows, post: Path, given: argparse.Namespace) -> tuple[float, float]:
    """CPU µs of a delivered event, and delivered events a second."""
    before, cpu, began = rows.succeeded(), running.cpu_seconds(), time.monotonic()
    measure(running.url, post, given.turn_seconds, given.connections)
    if rows.settled_within(PATIENCE_SECONDS) is None:
        raise SystemExit(f"deliveries still wait after {PATIENCE_SECONDS:g} s")
    took, delivered = time.monotonic() - began, rows.succeeded() - before
    return (running.cpu_seconds() - cpu) / delivered * 1e6, delivered / took


def rules_for(target: Receiver, given: argparse.Namespace) -> str:
    return RULES % (target.port, given.concurrency) + "".join(RULE % (i, i, i) for i in range(9))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rates", type=float, nargs="*", default=[10, 100, 500])
    arguments.add_argument("--seconds", type=int, default=10, help="of each measurement")
    arguments.add_argument("--connections", type=int, default=64, help="of wrk")
    arguments.add_argument("--concurrency", type=int, default=64, help="of the target")
    arguments.add_argument("--no-throughput", action="store_true")
    arguments.add_argument("--processes", type=counts, default=[1, 2], help="of the loads in turn, such as 1,2,4")
    arguments.add_argument("--beside", type=Path, help="another clone, for the loads in turn")
    arguments.add_argument("--rounds", type=int, default=4, help="of the loads in turn")
    arguments.add_argument("--turn-seconds", type=int, default=3, help="of each load in turn")
    arguments.add_argument("--only-in-turn", action="store_true")
    given = arguments.parse_args()
    body = push()
    print(describe("aiohttp", "waitress", "apsw", "orjson"), flush=True)
    if not given.only_in_turn:
        alone(body, given)
    with receiver() as target:
        in_turn(target, body, given)


def alone(body: bytes, given: argparse.Namespace) -> None:
    """Latency and the highest sustained rate, of one process."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, receiver() as target:
        folder = Path(name)
        with daemon(folder, rules_for(target, given)) as (port, log):
            rows = Rows(folder / "store.db")
            measure(f"http://127.0.0.1:{port}/hooks/github", script(folder, body), 1, 8)
            rows.settled_within(60)
            print(f"{len(body):,} bytes, {given.seconds} s each; ms, to receipt at the target and to the 202")
            print(f"{'':>10} {'p50':>9} {'p99':>8} {'max':>8} {'202 p50':>9} {'202 p99':>8}")
            for rate in given.rates:
                print(latency(port, target, rows, body, rate, given.seconds), flush=True)
            if not given.no_throughput:
                throughput(folder, port, target, rows, given)
            lost = log.count("attempt lost: someone else owns the delivery")
            print(f"deliveries that are not succeeded: {rows.waiting()}; attempts lost: {lost}")


def throughput(folder: Path, port: int, target: Receiver, rows: Rows, given: argparse.Namespace) -> None:
    """The highest rate end to end, between two measurements of the intake alone."""
    post = folder / "post.lua"
    plain = post.read_text()
    base = f"http://127.0.0.1:{port}/hooks"

    def intake_alone() -> float:
        post.write_text(plain)
        measured = measure(f"{base}/unrouted", post, given.seconds, given.connections)
        print(
            f"intake alone: {measured.rate:,.0f}/s, p50 {measured.p50:.1f} ms, p99 {measured.p99:.1f} ms"
            f" {measured.errors}",
            flush=True,
        )
        return measured.rate

    before, pace = intake_alone(), math.inf
    while pace > 50:
        post.write_text(plain if pace == math.inf else plain + PACE % pace)
        run = load(f"{base}/github", post, target, rows, given.seconds, given.connections, PATIENCE_SECONDS)
        print(f"{'as fast as answered' if pace == math.inf else f'at {pace:,.0f}/s'}: {run}", flush=True)
        if run.sustained:
            break
        # Without a pace, what was delivered until nothing waited is near what can be; later ones come closer.
        pace = run.delivered / (given.seconds + run.drained) if pace == math.inf else pace * 0.95
    alone = (before + intake_alone()) / 2
    print(f"end to end {run.rate:,.0f}/s: {run.rate / alone:.2f} x the intake alone ({alone:,.0f}/s)")


if __name__ == "__main__":
    main()
