"""What an event costs the intake, and how many durable answers it gives, beside adnanh/webhook in the same run.

First `parts.py`'s table: CPU of each part. Then wrk (a Debian package) posts a push payload of 7 kB with a GitHub
signature to
  - the daemon with ten rules, none of which matches: verify, parse, match, fsynced commit, 202. In each form: our
    server on uvloop and on asyncio's loop, with each number of processes, and waitress;
  - with `--beside TREE`, the daemon of another clone, such as an earlier commit's, with a virtual environment in .venv;
  - adnanh/webhook (the Debian package `webhook`: apt-get install webhook; left out where it isn't installed), which
    verifies the signature, finds that its rule does not match, and stores nothing.
All of them are measured in turn, over and over, so that a slow minute of the machine is everybody's; medians count. CPU
(user and system, all processes of a daemon) says more than rates on a busy machine.
"""

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from daemons import NO_ADNANH, Form, Running, adnanh, counts, daemon, with_processes
from machine import describe
from parts import table
from push import push, rules, script
from wrk import Measured, measure

SERVERS = ("uvloop", "asyncio", "waitress")
ADNANH, BESIDE = "adnanh/webhook", "beside"
_WIDTHS = (9, 7, 7, 7, 9, 9, 9, 12)  #: of the table's columns


@dataclass(frozen=True)
class Sample:
    """One load."""

    measured: Measured
    cpu: float  #: µs an event


@dataclass(frozen=True)
class Medians:
    """Several loads of one server."""

    rate: float  #: answers a second
    p50: float  #: ms
    p99: float  #: ms
    cpu: float  #: µs an event


def forms(servers: list[str], processes: list[int], beside: Path | None) -> list[Form]:
    """The daemons to measure. waitress serves in one process."""
    found = [
        Form(f"{server}, {number} process{'es' if number > 1 else ''}", flags, uvloop=server == "uvloop")
        for server in servers
        if server != "waitress"
        for number, flags in with_processes(processes)
    ]
    if "waitress" in servers:
        found.append(Form("waitress, 1 process", ("--server", "waitress")))
    return found + ([Form(BESIDE, tree=beside)] if beside else [])


def load(running: Running, post: Path, seconds: int, connections: int) -> Sample:
    before = running.cpu_seconds()
    measured = measure(running.url, post, seconds, connections)
    return Sample(measured, (running.cpu_seconds() - before) / (measured.rate * seconds) * 1e6)


def medians(samples: list[Sample]) -> Medians:
    measured = [sample.measured for sample in samples]
    return Medians(
        statistics.median(one.rate for one in measured),
        statistics.median(one.p50 for one in measured),
        statistics.median(one.p99 for one in measured),
        statistics.median(sample.cpu for sample in samples),
    )


def side_by_side(found: dict[str, Medians]) -> str:
    """A line for each server, with its ratios."""
    theirs, old = found.get(ADNANH), found.get(BESIDE)
    titles = ("rate", "p50 ms", "p99 ms", "CPU µs", "x adnanh", "p99 x its", "CPU x its", "CPU x beside")
    lines = [f"{'':<20} " + " ".join(f"{title:>{width}}" for title, width in zip(titles, _WIDTHS, strict=True))]
    for name, one in found.items():
        beside_theirs = (
            f" {one.rate / theirs.rate:>9.2f} {one.p99 / theirs.p99:>9.2f} {one.cpu / theirs.cpu:>9.2f}"
            if theirs
            else f"{'':>30}"
        )
        beside_old = f" {one.cpu / old.cpu:>12.2f}" if old else ""
        lines.append(
            f"{name:<20} {one.rate:>7,.0f}/s {one.p50:>7.1f} {one.p99:>7.1f} {one.cpu:>7.0f}{beside_theirs}{beside_old}"
        )
    return "\n".join(lines)


def by_connections(connections: list[int], found: dict[str, dict[int, Medians]]) -> str:
    """The rates from few to many connections, and the most to 64."""
    lines = ["answers a second " + " ".join(f"{number:>7,}" for number in connections) + "  connections"]
    for name, rows in found.items():
        ratio = f"  {rows[max(connections)].rate / rows[64].rate:.2f} of 64" if 64 in rows else ""
        lines.append(f"{name:<18}" + " ".join(f"{rows[number].rate:>7,.0f}" for number in connections) + ratio)
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=2, help="of each load")
    arguments.add_argument("--rounds", type=int, default=3, help="at 64 connections; one at any other number")
    arguments.add_argument("--connections", type=counts, default=[1, 16, 64, 256, 1000])
    arguments.add_argument("--processes", type=counts, default=[1, 2, 4])
    arguments.add_argument("--servers", nargs="*", choices=SERVERS, default=SERVERS)
    arguments.add_argument("--beside", type=Path, help="another clone, to compare CPU with")
    arguments.add_argument("--no-parts", action="store_true")
    given = arguments.parse_args()
    print(describe("httptools", "uvloop", "waitress", "falcon", "apsw", "orjson"), flush=True)
    if not given.no_parts:
        print(table(60), flush=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, ExitStack() as running:
        folder = Path(name)
        post = script(folder, push())
        ours = forms(given.servers, given.processes, given.beside)
        servers = {
            form.name: running.enter_context(daemon(folder / str(number), rules(), form))
            for number, form in enumerate(ours)
        }
        theirs = running.enter_context(adnanh(folder))
        if theirs is None:
            print(NO_ADNANH)
        else:
            servers[ADNANH] = theirs
        run(servers, post, given)


def run(servers: dict[str, Running], post: Path, given: argparse.Namespace) -> None:
    """Measure all servers in turn."""
    samples: dict[str, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for server in servers.values():
        measure(server.url, post, 1, 16)
    for number in given.connections:
        for turn in range(given.rounds if number == 64 else 1):
            for name, server in list(servers.items())[:: -1 if turn % 2 else 1]:
                sample = load(server, post, given.seconds, number)
                samples[name][number].append(sample)
                if sample.measured.errors:
                    print(f"{name} at {number} connections: {sample.measured.errors}")
    found = {name: {number: medians(all_) for number, all_ in rows.items()} for name, rows in samples.items()}
    for number in given.connections:
        if number in (64, max(given.connections)):
            loads = given.rounds if number == 64 else 1
            print(f"{number:,} connections, {given.seconds} s each, median of {loads}")
            print(side_by_side({name: rows[number] for name, rows in found.items()}), flush=True)
    print(by_connections(given.connections, found))


if __name__ == "__main__":
    main()
