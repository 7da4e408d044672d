"""Healthy targets' latency beside targets that hang, answer late, refuse connections and drip their answers.

A sender that keeps to its timetable posts small events to a daemon: half of them for a healthy target, the other half
in turn for four that are ill. In each round, on a fresh daemon, it does so twice: first with rules that route nothing
to the ill ones (their events are received, and match no rule), then with rules that do. Measured is the time from the
moment in the timetable to the receipt at the healthy target. The ill targets have no breaker, so that they go on
hurting; with `--breaker` they have the usual one.
"""

import argparse
import itertools
import json
import os
import socket
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from daemons import with_processes
from deliver import Receiver, Rows, daemon, receiver
from machine import describe
from open_loop import Sent, send, share

ILL = ("hang", "slow", "drip", "refuse")
SOURCES = "sources: {s: {verify: none}}\n"
GOOD = """
  good: {url: "http://127.0.0.1:%d", concurrency: 16}"""
BAD = """
  %s: {url: "http://127.0.0.1:%d", concurrency: 16%s}"""
RULE = """
  - {name: %s, match: {$.to: %s}, actions: [forward: {target: %s, path: /, pass_headers: [X-Sent], timeout: %gs}]}"""


def rules(ports: dict[str, int], *, ill: bool, timeout: float, breaker: bool) -> str:
    """The rules file, with the ill targets or without."""
    names = [name for name in ports if ill or name == "good"]
    targets = [
        GOOD % ports[name] if name == "good" else BAD % (name, ports[name], "" if breaker else ", breaker: none")
        for name in names
    ]
    return (
        SOURCES
        + "targets:"
        + "".join(targets)
        + "\nrules:"
        + "".join(RULE % (name, name, name, timeout) for name in names)
    )


def requests(port: int, size: int) -> list[tuple[bytes, bytes]]:
    """What is sent in turn, before and after the value of X-Sent: every second one for the healthy target."""
    made = []
    for name in itertools.chain.from_iterable(("good", ill) for ill in ILL):
        body = json.dumps({"to": name, "fill": "x" * size}).encode()
        head = (
            f"POST /hooks/s HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nX-Sent: "
        )
        made.append((head.encode(), b"\r\n\r\n" + body))
    return made


def phase(
    port: int, target: Receiver, rows: Rows, rate: float, seconds: float, size: int
) -> tuple[Sent, dict[str, Any]]:
    """One load; what was sent, and what the healthy target got."""
    turn = itertools.cycle(requests(port, size))
    target.take()

    def request(moment: int) -> bytes:
        before, after = next(turn)
        return before + b"%d" % moment + after

    sent = send(port, request, 2 * rate, seconds)
    rows.settled_within(10, "good")
    return sent, target.take()


def line(what: str, late: list[float], sent: Sent, found: int) -> str:
    note = "" if sent.answered == sent.requests else f"  {sent.requests - sent.answered} not answered 202"
    return (
        f"{what:<22} {found:>8,} {share(late, 0.5):>8.2f} {share(late, 0.99):>8.2f} {late[-1]:>8.2f}"
        f" {share(sent.answer_ms, 0.99):>9.2f}{note}"
    )


def refusing_port() -> tuple[socket.socket, int]:
    """A port that nobody else can take, and that refuses connections."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, int(held.getsockname()[1])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rate", type=float, default=100, help="healthy events a second; as many ill ones")
    arguments.add_argument("--seconds", type=float, default=12, help="of each load")
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--late", type=float, default=5, help="seconds until `slow` and `drip` have answered")
    arguments.add_argument("--timeout", type=float, default=10, help="seconds for an attempt; `hang` takes them all")
    arguments.add_argument("--size", type=int, default=1000, help="bytes of an event")
    arguments.add_argument("--breaker", action="store_true")
    arguments.add_argument("--processes", type=int, default=1)
    given = arguments.parse_args()
    print(describe("aiohttp", "waitress", "apsw"))
    print(
        f"{given.rate:g} healthy and {given.rate:g} ill events/s, {given.size:,} bytes, {given.seconds:g} s a load;"
        f" late: {given.late:g} s, timeout: {given.timeout:g} s; ms to receipt at the healthy target"
    )
    print(f"{'':<22} {'received':>8} {'p50':>8} {'p99':>8} {'max':>8} {'202 p99':>9}")
    pooled: dict[bool, list[float]] = {False: [], True: []}
    [(_, flags)] = with_processes([given.processes])
    held, refuses = refusing_port()
    with held, receiver(*ILL[:3], seconds=given.late) as target:
        ports = {"good": target.port, "refuse": refuses, **dict(zip(ILL[:3], target.others, strict=True))}
        for number, ill in itertools.product(range(given.rounds), (False, True)):
            text = rules(ports, ill=ill, timeout=given.timeout, breaker=given.breaker)
            with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
                with daemon(Path(name), text, flags) as (port, log):
                    rows = Rows(Path(name) / "store.db")
                    phase(port, target, rows, given.rate, 1.0, given.size)
                    sent, found = phase(port, target, rows, given.rate, given.seconds, given.size)
                    states = rows.states()
                pooled[ill] += found["late"]
                what = f"{number + 1}: {'with ill ones' if ill else 'without'}"
                print(line(what, found["late"], sent, found["events"]), flush=True)
                if ill:
                    print(f"   to the ill ones: {shown(states)}; {log.count('attempt settled'):,} attempts in all")
    without, with_ill = (share(sorted(pooled[ill]), 0.99) for ill in (False, True))
    print(f"healthy p99 with ill targets {with_ill:.2f} ms: {with_ill / without:.2f} x the {without:.2f} ms without")


def shown(states: Counter[tuple[str, str]]) -> str:
    parts = []
    for name in ILL:
        found = ", ".join(f"{count:,} {state}" for (target, state), count in sorted(states.items()) if target == name)
        parts.append(f"{name} {found}")
    return "; ".join(parts)


if __name__ == "__main__":
    main()
