"""The intake's latency while a large rules file is loaded again, beside its usual one, in one run.

A daemon with 10,000 rules answers posts of 7 kB over 64 connections (wrk, a Debian package) for some seconds; then
again while the file is edited over and over, each edit a reload of the whole of it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from load import text
from machine import describe
from wrk import Log, measure, serving

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-GitHub-Event"] = "push"
wrk.body = '{"repository": {"full_name": "acme/other"}, "fill": "' .. string.rep("x", 7000) .. '"}'
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rules", type=int, default=10_000)
    arguments.add_argument("--seconds", type=int, default=15)
    given = arguments.parse_args()
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
        log = Log()
        try:
            url = f"http://{serving(daemon, log)}/hooks/s"
            measure(url, script, 3, 64)
            usual = measure(url, script, given.seconds, 64)
            stop = threading.Event()

            def edit() -> None:
                number = 0
                while not stop.is_set():
                    number += 1
                    rules.write_text(text(given.rules) + f"# edit {number}\n")
                    before = log.count("rules reloaded")
                    while log.count("rules reloaded") == before and not stop.is_set():
                        time.sleep(0.05)

            editor = threading.Thread(target=edit)
            editor.start()
            beside = measure(url, script, given.seconds, 64)
            stop.set()
            editor.join()
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
    reloads = log.count("rules reloaded")
    print(f"{given.rules:,} rules, 64 connections, {given.seconds} s each; {reloads} reloads in the second part")
    print(f"{'':>16} {'requests':>11} {'p50':>9} {'p99':>9}")
    for title, measured in (("usual", usual), ("while reloading", beside)):
        print(f"{title:>16} {measured.rate:>9,.0f}/s {measured.p50:>6.1f} ms {measured.p99:>6.1f} ms")
    print(f"p99: {beside.p99 / usual.p99:.2f} x the usual")


if __name__ == "__main__":
    main()
