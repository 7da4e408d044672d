"""Completed commands a second: the daemon beside adnanh/webhook, in one run.

A number of events is posted; each one's rule runs `/bin/true`. Counted is what ended, not what was
answered: a run lasts from the first request to the last exit.
  - Ours: the attempts in the store, each with the exit code it recorded. Every event was fsynced before its answer,
    every exit after it.
  - adnanh/webhook (the Debian package `webhook`): its log has "finished handling" for each run that ended, and
    "error executing command" for each that failed. It stores nothing, and waits for no command before it answers.
`/bin/true` leaves no trace that both could be counted by, and a program that does would measure itself.
"""

import argparse
import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemons import free_port, reached
from machine import describe

PATIENCE_SECONDS = 120.0
RULES = """
sources: {{open: {{verify: none}}}}
rules:
  - name: run
    allow_unverified: true
    actions: [{{command: {{argv: ["{program}"], concurrency: {concurrency}}}}}]
"""
BODY = b'{"ref": "refs/heads/main", "after": "%s"}' % (b"0" * 200)


@dataclass(frozen=True)
class Ran:
    """One run of one program."""

    seconds: float  #: from the first request to the last exit
    accepted_seconds: float  #: from the first request to the last answer
    codes: Counter[str]  #: how many runs ended with which exit code

    @property
    def rate(self) -> float:
        return self.codes.total() / self.seconds


def post(url: str, count: int, connections: int) -> None:
    """Post exactly that many events over kept connections; SystemExit if one isn't accepted."""
    _, _, rest = url.partition("://")
    address, _, path = rest.partition("/")
    host, _, port = address.partition(":")
    head = f"POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}"
    request = head.encode() + b"\r\n\r\n" + BODY

    def send(share: int) -> None:
        with socket.create_connection((host, int(port))) as connection:
            for _ in range(share):
                connection.sendall(request)
                answer = connection.recv(65536)
                while not _whole(answer):
                    answer += connection.recv(65536)
                if answer[9:12] not in (b"200", b"202"):
                    raise SystemExit(f"not accepted: {answer[:80]!r}")

    shares = [count // connections + (i < count % connections) for i in range(connections)]
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(send, shares))


def _whole(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return bool(blank) and len(body) >= (int(length[1]) if length else 0)


@contextmanager
def ours(folder: Path, program: str, concurrency: int) -> Iterator[tuple[str, Path]]:
    """Our daemon: its URL and its store."""
    (folder / "rules.yaml").write_text(RULES.format(program=program, concurrency=concurrency))
    log, store = folder / "ours.log", folder / "store.db"
    command = [str(Path(sys.executable).with_name("webhook-router")), "serve", "rules.yaml", "--admin", "off"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--store", f"sqlite:{store}", "--log-format", "json"],
            cwd=folder, stderr=file,
        )  # fmt: skip
    try:
        yield f"http://{_listens(log)}/hooks/open", store
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _listens(log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if '"serving"' in line and line.endswith("}"):
                return str(json.loads(line)["listen"])
        time.sleep(0.02)
    raise SystemExit("the daemon did not start")


def run_ours(folder: Path, count: int, given: argparse.Namespace) -> Ran:
    """Measure our daemon; the exit codes are those its store recorded."""
    with ours(folder, given.program, given.concurrency) as (url, store):
        start = time.time()
        post(url, count, given.connections)
        accepted = time.time() - start
        reader = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        unsettled = "SELECT count(*) FROM delivery WHERE state IN ('pending', 'running')"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while reader.execute(unsettled).fetchone()[0] and time.monotonic() < deadline:
            time.sleep(0.1)
        codes = Counter(
            str(code) for (code,) in reader.execute("SELECT status FROM attempt WHERE finished_at NOT NULL")
        )
        last = reader.execute("SELECT max(finished_at) FROM attempt").fetchone()[0] / 1000
        reader.close()
    return Ran(last - start, accepted, codes)


def run_theirs(folder: Path, count: int, given: argparse.Namespace) -> Ran:
    """Measure adnanh/webhook; its log says how each run ended."""
    port, log = free_port(), folder / "theirs.log"
    (folder / "hooks.json").write_text(json.dumps([{"id": "run", "execute-command": given.program}]))
    command = ["webhook", "-hooks", "hooks.json", "-ip", "127.0.0.1", "-port", str(port), "-logfile", str(log)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        reached(port)
        start = time.time()
        post(f"http://127.0.0.1:{port}/hooks/run", count, given.connections)
        accepted = time.time() - start
        deadline = time.monotonic() + PATIENCE_SECONDS
        ended = 0
        while ended < count and time.monotonic() < deadline:
            time.sleep(0.01)
            ended = log.read_text(errors="replace").count("finished handling run")
        seconds = time.time() - start
    finally:
        process.kill()
        process.wait(30)
    failed = log.read_text(errors="replace").count("error executing command")
    return Ran(seconds, accepted, Counter({"0": ended - failed, "not 0": failed} if failed else {"0": ended}))


def shown(name: str, ran: Ran, count: int) -> str:
    codes = ", ".join(f"{code}: {number:,}" for code, number in sorted(ran.codes.items()))
    lost = "" if ran.codes.total() == count else f"; {count - ran.codes.total():,} never ended"
    return (
        f"{name:<15} {ran.rate:>7,.0f}/s  {count / ran.accepted_seconds:>7,.0f}/s accepted   exit codes {codes}{lost}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=5000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--concurrency", type=int, default=16, help="ours; webhook has no such limit")
    arguments.add_argument("--program", default="/bin/true")
    given = arguments.parse_args()
    print(describe("apsw", "waitress"))
    print(f"{given.events:,} events over {given.connections} connections, each runs {given.program}")
    ratios = []
    for number in range(given.rounds):
        # Which goes first changes with each round.
        names = ["ours", "adnanh/webhook"] if number % 2 == 0 else ["adnanh/webhook", "ours"]
        rates = {}
        for name in names:
            if name == "adnanh/webhook" and shutil.which("webhook") is None:
                print(f"{name:<15} is not installed (Debian: apt-get install webhook)")
                continue
            with tempfile.TemporaryDirectory() as folder:
                measure = run_ours if name == "ours" else run_theirs
                ran = measure(Path(folder), given.events, given)
            rates[name] = ran.rate
            print(shown(name, ran, given.events), flush=True)
        if len(rates) == 2:
            ratios.append(rates["ours"] / rates["adnanh/webhook"])
            print(f"{'ratio':<15} {ratios[-1]:>7.2f}", flush=True)
    if ratios:
        print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f}")


if __name__ == "__main__":
    main()
