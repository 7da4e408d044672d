"""Kills and power cuts, over and over: is an event lost, done by two owners at once, or out of order; what comes twice?

First the daemon lives many short lives under load: eight senders with an order key each, a receiver that answers late,
fails and hangs up, forwards with and without order, lines appended to a file, commands. Most lives end by kill -9 at a
random moment, some while they start, some by SIGTERM. The senders repeat what was not answered, with the same dedupe
key. At the end the ledger of what was answered, the store, the receiver's memory, the file and the commands' record are
held against each other (tests/acceptance/crash_checks.py says how).

Then a store works on a recorded disk, and each moment of its life is taken for a power cut: at each sync, and at
random points between, the files are rebuilt with the unsynced sectors dropped, kept, or kept in part, and opened
(tests/store/sqlite/simulated_disk.py says what a disk may do).

Exits 1 when anything is wrong. Give the same --seed again for the same moments and troubles; threads and the machine's
speed still vary.
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

YOUNG, INTRUDED, STOPPED = 0.1, 0.05, 0.15  #: lives that end while they start, see a second owner, end by SIGTERM
KEPT = (0.0, 0.1, 0.5, 0.9, 1.0)  #: likelihoods that an unsynced sector is on the disk


def kills(count: int, longest: float, seed: int, folder: Path) -> list[str]:
    """Live that many lives that end by a kill; print what they did, return what is wrong."""
    ordeal = CrashRun(folder, seed)
    chance, killed, started = ordeal.chance, 0, time.monotonic()
    try:
        while killed < count:
            draw = chance.random()
            if draw < YOUNG:
                ordeal.die_young(chance.uniform(0, 1.0))
            elif draw < YOUNG + INTRUDED:
                ordeal.live(ordeal.intrude, kill=True)
            else:
                ordeal.live(partial(time.sleep, chance.uniform(0.05, longest)), kill=draw > YOUNG + INTRUDED + STOPPED)
            killed = sum(life.killed for life in ordeal.lives)
            _progress(f"kill {killed} of {count}, {len(ordeal.ledger.ids):,} events answered")
        ordeal.live(ordeal.settle_all, kill=False)
    finally:
        ordeal.finish()
    _progress("")
    verdict = CrashChecks(ordeal)
    print(f"{time.monotonic() - started:,.0f} s, lives of up to {longest:g} s after their start, seed {seed}")
    for what, number in verdict.counts.items():
        print(f"{number:>10,}  {what}")
    print(f"{len(verdict.faults):>10,}  faults")
    return verdict.faults


def power_cuts(rounds: int, most: int, seed: int, folder: Path) -> list[str]:
    """Cut the power at up to that many moments of one store's life; print and return what is wrong."""
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
    print(f"{history.folds():>10,}  times that the log was begun anew")
    print(f"{sum(isinstance(note, Marker) for note in notes):>10,}  answers of the store")
    print(f"{len(moments):>10,}  moments")
    print(f"{number:>10,}  disks opened")
    print(f"{len(wrong):>10,}  faults")
    return wrong


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--longest", type=float, default=2.0, help="seconds that a life lasts after its start")
    arguments.add_argument("--rounds", type=int, default=90, help="how much the store on the recorded disk does")
    arguments.add_argument("--moments", type=int, default=100_000, help="power cuts at the most")
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments.add_argument("--folder", type=Path, help="where to keep all files, to look at; a temporary one")
    given = arguments.parse_args()
    # The thousands of starts on rebuilt disks each tell of what the cut interrupted.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(describe("apsw", "aiohttp", "waitress"), flush=True)
    wrong: list[str] = []
    if given.kills:
        with tempfile.TemporaryDirectory() as name:
            folder = given.folder or Path(name)
            folder.mkdir(parents=True, exist_ok=True)
            wrong += kills(given.kills, given.longest, given.seed, folder)
    if given.rounds:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
            wrong += power_cuts(given.rounds, given.moments, given.seed, Path(name))
    print(*wrong[:50], sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
