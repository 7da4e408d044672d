"""What events weigh: bytes of the store for each, and the daemon's memory at rest and after them.

A daemon with an empty store gets events with the headers that GitHub sends, which none, one or two rules match; each
delivery is an append that succeeds. Then it is stopped, and its store weighed without its write-ahead log.
"""

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe
from wrk import Log, serving

RULES = """
sources: {in: {verify: none}}
rules:
  - {name: one, match: {$.n: {gte: 1}}, actions: [append: one.txt]}
  - {name: two, match: {$.n: {gte: 2}}, actions: [append: two.txt]}
"""
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "*/*",
    "User-Agent": "GitHub-Hookshot/044aadd",
    "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "X-GitHub-Event": "push",
    "X-GitHub-Hook-ID": "292430182",
    "X-GitHub-Hook-Installation-Target-ID": "79929171",
    "X-GitHub-Hook-Installation-Target-Type": "repository",
    "X-Hub-Signature": "sha1=" + "a" * 40,
    "X-Hub-Signature-256": "sha256=" + "b" * 64,
}
PATIENCE_SECONDS = 60.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=3000)
    given = arguments.parse_args()
    print(describe("apsw", "waitress"))
    print(f"{given.events:,} events each, headers of {sum(len(k) + len(v) for k, v in HEADERS.items())} bytes")
    print(f"{'body':>7} {'deliveries':>11} {'store, bytes an event':>22} {'memory, MiB: at rest':>21} {'after':>6}")
    for size, deliveries in ((300, 1), (7000, 0), (7000, 1), (7000, 2), (25_000, 1)):
        weight, before, after = weigh(given.events, size, deliveries)
        print(f"{size:>7,} {deliveries:>11} {weight:>22,} {before:>21.0f} {after:>6.0f}", flush=True)


def weigh(count: int, size: int, deliveries: int) -> tuple[int, float, float]:
    """Bytes of the store for an event, and the daemon's memory before and after all of them, MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rules.yaml").write_text(RULES)
        store = folder / "store.db"
        program = str(Path(sys.executable).with_name("webhook-router"))
        daemon = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--admin", "off", "--store", f"sqlite:{store}",
             "--log-format", "json"],
            stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ,
        )  # fmt: skip
        log = Log()
        try:
            host, _, port = serving(daemon, log).partition(":")
            before = memory(daemon.pid)
            send(host, int(port), count, size, deliveries)
            until = time.monotonic() + PATIENCE_SECONDS
            while log.count("attempt settled") < count * deliveries and time.monotonic() < until:
                time.sleep(0.05)
            after = memory(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
        return store.stat().st_size // count, before, after


def send(host: str, port: int, count: int, size: int, deliveries: int) -> None:
    """Post so many events one after the other."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    empty = json.dumps({"n": deliveries, "pad": ""})
    body = json.dumps({"n": deliveries, "pad": "x" * (size - len(empty))})
    for _ in range(count):
        connection.request("POST", "/hooks/in", body, HEADERS)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 202:
            raise SystemExit(f"answered {answer.status}")
    connection.close()


def memory(pid: int) -> float:
    """Resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
