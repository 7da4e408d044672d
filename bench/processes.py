"""Memory of an intake process at rest, and the time until a killed one is replaced; by the number of processes.

How much they answer is in bench/intake.py, and what a hostile body costs the others in bench/hostile.py.
"""

import argparse
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

from daemons import Form, Running, counts, daemon, family
from machine import describe
from push import rules

KILLS = 5


def memory(pid: int) -> tuple[float, float, float]:
    """MB of resident memory, the same with shared pages divided among those that share them, and what is its own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kib["Rss"] / 1e3, kib["Pss"] / 1e3, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1e3


def intake_processes(running: Running) -> list[int]:
    """Those that accept connections, and the one for large requests: all that are forked from one process."""
    below = [family(pid)[1:] for pid in family(running.pid)[1:]]
    return max(below, key=len)


def replaced_in(running: Running) -> float:
    """Kill one process; seconds until another one serves in its place."""
    before, pid = running.log.count("intake process serves"), intake_processes(running)[0]
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while running.log.count("intake process serves") == before:
        time.sleep(0.005)
    return time.monotonic() - killed_at


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--processes", type=counts, default=[2, 4])
    given = arguments.parse_args()
    print(describe("httptools", "uvloop", "apsw", "orjson"))
    print(f"{'processes':>9} {'RSS':>6} {'PSS':>6} {'own':>6}  replaced in s, median and most of {KILLS}")
    for number in given.processes:
        form = Form("", ("--processes", str(number)))
        with tempfile.TemporaryDirectory() as name, daemon(Path(name), rules(), form) as running:
            rss, pss, own = map(statistics.mean, zip(*map(memory, intake_processes(running)), strict=True))
            times = [replaced_in(running) for _ in range(KILLS)]
        print(f"{number:>9} {rss:>6.1f} {pss:>6.1f} {own:>6.1f}  {statistics.median(times):.2f} {max(times):.2f}")


if __name__ == "__main__":
    main()
