"""The intake's latency while a large rules file is loaded again, beside its usual one, in one run.

A daemon with 10,000 rules answers posts of 7 kB over 64 connections (wrk, a Debian package) for some seconds; then
again while the file is edited over and over, each edit a reload of the whole of it.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from load import text
from machine import describe

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-GitHub-Event"] = "push"
wrk.body = '{"repository": {"full_name": "acme/other"}, "fill": "' .. string.rep("x", 7000) .. '"}'
"""


def serving(process: "subprocess.Popen[str]") -> str:
    """Wait for the daemon; where it listens."""
    assert process.stderr is not None
    for line in process.stderr:
        found = json.loads(line)
        if found.get("message") == "serving":
            return str(found["listen"])
    raise SystemExit("the daemon did not start")


def measure(url: str, script: Path, seconds: int) -> tuple[float, float, float]:
    """Requests a second, p50 and p99 in ms."""
    command = ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", "-s", str(script), url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", shown)
    assert rate is not None
    return float(rate[1]), _latency(shown, "50%"), _latency(shown, "99%")


def _latency(shown: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", shown)
    assert found is not None
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rules", type=int, default=10_000)
    arguments.add_argument("--seconds", type=int, default=15)
    given = arguments.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian: apt-get install wrk)")
    print(describe("waitress", "falcon", "apsw"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rules, script = folder / "rules.yaml", folder / "post.lua"
        rules.write_text(text(given.rules))
        script.write_text(SCRIPT)
        program = str(Path(sys.executable).with_name("webhook-router"))
        flags = ["--listen", "127.0.0.1:0", "--admin", "off", "--store", f"sqlite:{folder / 'store.db'}"]
        daemon = subprocess.Popen(
            [program, "serve", str(rules), *flags, "--log-format", "json", "--log-level", "info"],
            stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ,
        )  # fmt: skip
        reloads: list[str] = []
        try:
            url = f"http://{serving(daemon)}/hooks/s"

            def watch() -> None:
                assert daemon.stderr is not None
                reloads.extend(line for line in daemon.stderr if '"rules reloaded"' in line)

            threading.Thread(target=watch, daemon=True).start()
            measure(url, script, 3)
            usual = measure(url, script, given.seconds)
            stop = threading.Event()

            def edit() -> None:
                number = 0
                while not stop.is_set():
                    number += 1
                    rules.write_text(text(given.rules) + f"# edit {number}\n")
                    before = len(reloads)
                    while len(reloads) == before and not stop.is_set():
                        time.sleep(0.05)

            editor = threading.Thread(target=edit)
            editor.start()
            beside = measure(url, script, given.seconds)
            stop.set()
            editor.join()
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
    print(f"{given.rules:,} rules, 64 connections, {given.seconds} s each; {len(reloads)} reloads in the second part")
    print(f"{'':>16} {'requests':>11} {'p50':>9} {'p99':>9}")
    for title, (rate, p50, p99) in (("usual", usual), ("while reloading", beside)):
        print(f"{title:>16} {rate:>9,.0f}/s {p50:>6.1f} ms {p99:>6.1f} ms")
    print(f"p99: {beside[2] / usual[2]:.2f} x the usual")


if __name__ == "__main__":
    main()
