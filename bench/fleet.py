"""Three nodes over one PostgreSQL under load, killed, frozen and cut off again and again, with the server killed too.

The senders keep a ledger of every id that was answered 202. At the end each must be stored once, delivered, and have
arrived no more often than it was attempted (tests/acceptance/fleet.py). Exits 1 when anything is wrong.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe

from tests.acceptance.fleet import RULES, Fleet, Senders, ledger_problems
from tests.conftest import Daemon, Receiver
from tests.postgres import Server

KILLS = ("kill a node", "kill the server")
FAULTS = ("kill a node",) * 6 + ("stop a node",) * 2 + ("freeze a node",) * 2 + ("kill the server",)


def run(kills: int, seed: int, folder: Path) -> list[str]:
    """Disturb until so many nodes and servers are killed; print the counts, return the problems."""
    chance, server, receiver, done = random.Random(seed), Server(), Receiver(), Counter[str]()
    receiver.start()
    fleet = Fleet(folder, server, RULES.replace("URL", receiver.url))
    serving: list[Daemon] = [fleet.start() for _ in range(3)]
    began = time.monotonic()
    senders = Senders(lambda: list(serving), threads=6, pause=0.1)  # what the nodes can deliver meanwhile
    try:
        while sum(done[kill] for kill in KILLS) < kills:
            senders.wait(chance.randrange(1, 60))
            fault = chance.choice(FAULTS)
            disturb(fault, fleet, server, serving, chance)
            done[fault] += 1
            if done.total() % 50 == 0:
                print(f"{time.monotonic() - began:,.0f} s: {dict(done)}", file=sys.stderr, flush=True)
        senders.stop()
        settle(fleet)
        problems = ledger_problems(fleet, senders, receiver.ids())
        again = fleet.count("SELECT count(*) FROM webhook_router.delivery WHERE tries > 1")
        print(f"{time.monotonic() - began:,.0f} s, seed {seed}, lease 4 s")
        for what, count in (*done.items(), ("events answered", len(senders.ids)), ("attempted again", again)):
            print(f"{count:>10,}  {what}")
        print(f"{senders.answers[503]:>10,}  answers 503")
        print(f"{len(problems):>10,}  problems")
        return problems
    finally:
        fleet.close()
        receiver.stop()
        server.remove()


def settle(fleet: Fleet) -> None:
    """Wait until all is delivered, or nothing was for a minute."""
    left, since = fleet.unsettled(), time.monotonic()
    while left and time.monotonic() < since + 60:
        time.sleep(0.5)
        if (now := fleet.unsettled()) < left:
            left, since = now, time.monotonic()


def disturb(fault: str, fleet: Fleet, server: Server, serving: list[Daemon], chance: random.Random) -> None:
    """Do one fault; afterwards three nodes serve again."""
    if fault == "kill the server":
        server.kill()
        time.sleep(chance.uniform(0, 2))
        server.start()
        return
    node = serving.pop(0)
    if fault == "freeze a node":
        os.kill(node.process.pid, signal.SIGSTOP)
        time.sleep(chance.uniform(0, 8))
        os.kill(node.process.pid, signal.SIGCONT)
        serving.append(node)
        return
    if fault == "stop a node":
        node.stop()
    else:
        node.kill()
    fleet.nodes.remove(node)
    serving.append(fleet.start())


def main() -> None:
    """Run it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=200, help="of nodes and the server, kill -9")
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = arguments.parse_args()
    print(describe("psycopg", "aiohttp"), flush=True)
    with tempfile.TemporaryDirectory() as name:
        problems = run(given.kills, given.seed, Path(name))
    print(*problems[:50], sep="\n")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
