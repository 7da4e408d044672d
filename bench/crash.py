"""Kills and power cuts, again and again: checks for lost events, two owners, broken order, and counts repetitions.

First the daemon runs many times under load: eight senders with an order key each; a receiver that answers late, fails
and hangs up; forwards with and without order; lines appended to a file; commands. Most runs end by kill -9 at a random
moment, some while they start, some by SIGTERM. The senders repeat an event without an answer, with the same dedupe key.
At the end the answers, the store, the receiver's requests, the file and the commands' record are compared
(tests/acceptance/crash_checks.py).

Then a store works on a recorded disk. Each sync, and random points between, is taken for a power cut: the files are
rebuilt with the unsynced sectors dropped, kept, or kept in part, and opened (tests/store/sqlite/simulated_disk.py).

Exits 1 when anything is wrong. The same --seed gives the same moments and failures; threads and the machine's speed
still vary.
"""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
from machine import describe

from tests.acceptance.crash_checks import CrashChecks
from tests.acceptance.crash_run import CrashRun
from tests.store.sqlite.power_loss_run import problems, run_workload
from tests.store.sqlite.simulated_disk import Marker, Sync, Write, images

AT_START, SECOND_OWNER, STOPPED = (
    0.1,
    0.05,
    0.15,
)  #: shares of runs that end at start, meet a second owner, or are stopped
KEPT = (0.0, 0.1, 0.5, 0.9, 1.0)  #: likelihoods that an unsynced sector is on the disk


def kills(count: int, longest: float, seed: int, folder: Path, processes: int) -> list[str]:
    """Run the daemon until that many runs were killed; print the counts, return the problems."""
    run = CrashRun(folder, seed, processes)
    chance, killed, started = run.random, 0, time.monotonic()
    try:
        while killed < count:
            draw = chance.random()
            if draw < AT_START:
                run.kill_during_start(chance.uniform(0, 1.0))
            elif draw < AT_START + SECOND_OWNER:
                run.run_daemon(run.start_second_owner, kill=True)
            else:
                killed_run = draw > AT_START + SECOND_OWNER + STOPPED
                run.run_daemon(partial(work, run, chance.uniform(0.05, longest)), kill=killed_run)
            killed = sum(one.killed for one in run.runs)
            _progress(f"kill {killed} of {count}, {len(run.answers.ids):,} events answered")
        run.run_daemon(run.wait_until_settled, kill=False)
    finally:
        run.close()
    _progress("")
    checks = CrashChecks(run)
    print(f"{time.monotonic() - started:,.0f} s, runs of up to {longest:g} s after their start, seed {seed}")
    if processes > 1:
        print(f"{run.killed_processes:>10,}  intake processes killed while the daemon ran on, of {processes}")
    for what, number in checks.counts.items():
        print(f"{number:>10,}  {what}")
    print(f"{len(checks.problems):>10,}  problems")
    return checks.problems


def work(run: CrashRun, seconds: float) -> None:
    """Let the daemon work; with several processes kill some of them meanwhile."""
    pieces = run.random.randrange(1, 4)
    run.kill_processes(pieces - 1, partial(time.sleep, seconds / pieces))
    time.sleep(seconds / pieces)


def power_cuts(rounds: int, most: int, seed: int, folder: Path) -> list[str]:
    """Cut the power at up to that many moments of one store's work; print the counts, return the problems."""
    (folder / "recorded").mkdir()
    history = run_workload(folder / "recorded", rounds=rounds, seed=seed)
    chance, started = random.Random(seed), time.monotonic()
    notes = history.notes
    syncs = [number for number, note in enumerate(notes) if not isinstance(note, Write | Marker)]
    moments = sorted({*syncs, *(number + 1 for number in syncs), *chance.sample(range(len(notes)), len(notes) // 8)})
    if len(moments) > most:
        moments = chance.sample(moments, most)
    wrong: list[str] = []
    number = 0
    for number, image in enumerate(images(notes, moments, KEPT, chance), start=1):
        place = folder / str(number)
        wrong += [f"after {image.at} of {len(notes)} notes: {fault}" for fault in problems(image, history, place)]
        shutil.rmtree(place)
        if number % 50 == 0:
            _progress(f"disk {number:,} of {len(moments) * len(KEPT):,}")
    _progress("")
    print(f"{time.monotonic() - started:,.0f} s of power cuts, seed {seed}")
    print(f"{sum(isinstance(note, Write) for note in notes):>10,}  writes of the store")
    print(f"{sum(isinstance(note, Sync) for note in notes):>10,}  syncs")
    print(f"{history.folds():>10,}  times that the write-ahead log started over")
    print(f"{sum(isinstance(note, Marker) for note in notes):>10,}  answers of the store")
    print(f"{len(moments):>10,}  moments")
    print(f"{number:>10,}  disks opened")
    print(f"{len(wrong):>10,}  problems")
    return wrong


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--longest", type=float, default=2.0, help="most seconds of a run after its start")
    arguments.add_argument("--processes", type=int, default=1, help="intake processes; some of them are killed too")
    arguments.add_argument("--rounds", type=int, default=90, help="how much the store on the recorded disk does")
    arguments.add_argument("--moments", type=int, default=100_000, help="most power cuts")
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments.add_argument("--folder", type=Path, help="where to keep all files; default: a temporary folder")
    given = arguments.parse_args()
    # Each of the thousands of starts on rebuilt disks logs the attempts that the cut interrupted.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(describe("apsw", "aiohttp", "waitress"), flush=True)
    wrong: list[str] = []
    if given.kills:
        with tempfile.TemporaryDirectory() as name:
            folder = given.folder or Path(name)
            folder.mkdir(parents=True, exist_ok=True)
            wrong += kills(given.kills, given.longest, given.seed, folder, given.processes)
    if given.rounds:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
            wrong += power_cuts(given.rounds, given.moments, given.seed, Path(name))
    print(*wrong[:50], sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
