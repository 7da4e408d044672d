"""Durable answers a second with 1, 2 and 4 intake processes, beside adnanh/webhook; a process's memory and replacement.

The requests are those of bench/intake.py. Each daemon is measured in turn, round by round, so that a slow minute of the
machine is everybody's; ratios are of one round's rates, and the median of the rounds is shown.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from intake import RULE, RULES, SECRET, adnanh, cpu_seconds, push, script
from machine import describe
from wrk import Measured, measure


@dataclass
class Served:
    """A daemon that runs."""

    process: "subprocess.Popen[str]"
    url: str = ""
    children: dict[int, tuple[int, float]] = field(default_factory=dict)  #: pid, and when it began to serve, by number
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found = json.loads(line)
            with self.changed:
                if found["message"] == "intake process serves":
                    self.children[found["process"]] = found["pid"], time.monotonic()
                elif found["message"] == "serving":
                    self.url = f"http://{found['listen']}/hooks/github"
                self.changed.notify_all()

    def cpu(self) -> float:
        """Seconds of all processes so far."""
        return cpu_seconds(self.process.pid) + sum(cpu_seconds(pid) for pid, _ in self.children.values())

    def replaced_in(self) -> float:
        """Kill one process; seconds until another one serves in its place."""
        pid, _ = self.children[1]
        killed_at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        with self.changed:
            self.changed.wait_for(lambda: self.children[1][0] != pid, 30)
        return self.children[1][1] - killed_at


@contextmanager
def daemon(folder: Path, processes: int) -> Iterator[Served]:
    """A daemon with that many intake processes."""
    folder.mkdir()
    rules = folder / "rules.yaml"
    rules.write_text(RULES + "".join(RULE % (i, i, i) for i in range(10)))
    program = str(Path(sys.executable).with_name("webhook-router"))
    flags = ["--listen", "127.0.0.1:0", "--admin", "off", "--log-format", "json", "--processes", str(processes)]
    process = subprocess.Popen(
        [program, "serve", str(rules), *flags, "--store", f"sqlite:{folder / 'store.db'}"],
        stderr=subprocess.PIPE, text=True, cwd=folder, env={**os.environ, "BENCH_SECRET": SECRET},
    )  # fmt: skip
    served = Served(process)
    threading.Thread(target=served.read, daemon=True).start()
    with served.changed:
        served.changed.wait_for(lambda: served.url, 120)
    try:
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def memory(pid: int) -> dict[str, float]:
    """MB of resident memory, of its share of what is shared, and of what is its own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return {"RSS": kib["Rss"] / 1e3, "PSS": kib["Pss"] / 1e3, "private": private / 1e3}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=5)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4])
    arguments.add_argument("--connections", type=int, nargs="*", default=[16, 64, 256])
    given = arguments.parse_args()
    print(describe("httptools", "uvloop", "apsw", "orjson"))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, ExitStack() as running:
        folder = Path(name)
        post = script(folder, push())
        served = {number: running.enter_context(daemon(folder / str(number), number)) for number in given.processes}
        theirs = running.enter_context(adnanh(folder))
        for number, one in served.items():
            for child, (pid, _) in sorted(one.children.items())[:1]:
                shown = ", ".join(f"{value:.0f} MB {what}" for what, value in memory(pid).items())
                print(f"{number} processes, process {child} at rest: {shown}")
        for connections in given.connections:
            compare(served, theirs, post, given.seconds, connections, given.rounds)
        for number, one in served.items():
            if one.children:
                times = ", ".join(f"{one.replaced_in():.2f}" for _ in range(3))
                print(f"{number} processes: a killed one is replaced in {times} s")


def compare(
    served: dict[int, Served], theirs: str | None, post: Path, seconds: int, connections: int, rounds: int
) -> None:
    """Measure all in turn, and print medians."""
    measured: dict[int, list[Measured]] = defaultdict(list)
    cpu: dict[int, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for number, one in served.items():
            before = one.cpu()
            found = measure(one.url, post, seconds, connections)
            measured[number].append(found)
            cpu[number].append((one.cpu() - before) / (found.rate * seconds) * 1e6)
        if theirs:
            measured[0].append(measure(theirs, post, seconds, connections))
    first = measured[given_first(served)]
    for number, found in measured.items():
        name = f"{number} processes" if number else "adnanh/webhook"
        ratio = statistics.median(one.rate / base.rate for one, base in zip(found, first, strict=True))
        rate, p50, p99 = (statistics.median(getattr(one, key) for one in found) for key in ("rate", "p50", "p99"))
        used = f"{statistics.median(cpu[number]):>5.0f} µs an event" if number else ""
        errors = "; ".join(one.errors for one in found if one.errors)
        print(
            f"{connections:>5} {name:>15} {rate:>7,.0f}/s x{ratio:.2f} p50 {p50:>6.1f} p99 {p99:>6.1f} {used} {errors}"
        )
    sys.stdout.flush()


def given_first(served: dict[int, Served]) -> int:
    """What the ratios are to."""
    return next(iter(served))


if __name__ == "__main__":
    main()
