"""Three nodes over one PostgreSQL under load, killed, frozen and cut off again and again, with the server killed too
(bench/fleet_faults.py).

The senders keep a ledger of every id that was answered 202. At the end each must be stored once, delivered, and have
arrived no more often than it was attempted (tests/acceptance/fleet.py); events of one order key arrived in order; a
command with concurrency 1 never ran twice at once. Exits 1 when anything is wrong.

With --beside TREE every second node is an older program: a clone with a virtual environment `.venv`. Its first node
makes the schema, and the first node of this tree brings the newest one.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fleet_faults import KILLS, NODES, Field
from machine import describe

from router.store.contract import MAX_INTERRUPTIONS
from tests.acceptance.fleet import LEASE, Fleet, Senders, ledger_problems

RULES = """
sources:
  open: {verify: none, dedupe: {key: headers.X-Key, window: 1h}}
  held: {verify: none, dedupe: {key: headers.X-Key, window: 1h}}
  deploy: {verify: none, dedupe: {key: headers.X-Key, window: 1h}}
targets:
  hook: {url: URL/sent, breaker: {failures: 5, pause: 1s, max_pause: 1s}}
  held: {url: URL/held}
defaults: {retry: {initial: 100ms, max: 500ms}}
rules:
  - {name: sent, source: open, actions: [{forward: {target: hook}, order_by: $.lane}]}
  - {name: held, source: held, actions: [{forward: {target: held}}]}
  - name: deploy
    source: deploy
    allow_unverified: true
    actions: [{command: {argv: [./deploy.py], concurrency: 1}}]
"""
WITNESS = f"""#!{sys.executable} -IS
import fcntl, os, random, time
lock = os.open("lock", os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("twice", file=open("witness", "a"), flush=True)
else:
    print("run", file=open("witness", "a"), flush=True)
    time.sleep(random.uniform(0, 0.5))
"""


def run(kills: int, seconds: float, seed: int, folder: Path, beside: Path | None) -> list[str]:
    """Disturb until so many nodes and servers are killed, or so long; print the counts, return the problems."""
    (folder / "deploy.py").write_text(WITNESS)
    (folder / "deploy.py").chmod(0o755)
    field = Field(folder, RULES, seed, LEASE, beside)
    try:
        for _ in range(NODES):
            field.start_node()
        began = time.monotonic()
        senders = _senders(field)
        while sum(field.done[kill] for kill in KILLS) < kills and time.monotonic() < began + seconds:
            senders[0].wait(field.chance.randrange(1, 60))
            field.disturb()
            if field.done.total() % 50 == 0:
                print(f"{time.monotonic() - began:,.0f} s: {dict(field.done)}", file=sys.stderr, flush=True)
        for sender in senders:
            sender.stop()
        settle(field.fleet)
        problems = _problems(field, senders)
        _report(field, senders, problems, f"{time.monotonic() - began:,.0f} s, seed {seed}, lease {LEASE:g} s")
        return problems
    finally:
        field.close()


def _senders(field: Field) -> list[Senders]:
    """Those of each source, and some that send to other nodes the same events as the first ones, at the same time."""

    return [
        Senders(lambda: list(field.serving), threads=4, pause=0.1),  # what the nodes can deliver meanwhile
        Senders(lambda: field.serving[1:] + field.serving[:1], threads=4, pause=0.1),
        Senders(lambda: list(field.serving), threads=1, pause=0.2, path="/hooks/held", lanes="held"),
        Senders(lambda: list(field.serving), threads=1, pause=0.5, path="/hooks/deploy", lanes="deploy"),
    ]


def _problems(field: Field, senders: list[Senders]) -> list[str]:
    problems = []
    for sender in senders:
        problems += ledger_problems(field.fleet, sender, field.receiver.ids())
    problems = list(dict.fromkeys(problems))
    first, copies = senders[0].ids, senders[1].ids
    problems += [f"{key} is two events" for key in first.keys() & copies.keys() if first[key] != copies[key]]
    problems += _out_of_order(field)
    if field.done["arrived at a paused target"]:
        problems.append("deliveries arrived at a paused target")
    if "twice" in (field.fleet.folder / "witness").read_text():
        problems.append("the command ran twice at once")
    left = f"SELECT id, state, error {_COMMANDS} AND state <> 'succeeded' AND NOT {_GIVEN_UP}"
    problems += [f"the command's delivery {id_} is {state}: {error}" for id_, state, error in field.fleet.ask(left)]
    return problems


_COMMANDS = "FROM webhook_router.delivery WHERE type = 'command'"
_GIVEN_UP = f"(state = 'dead' AND interruptions = {MAX_INTERRUPTIONS})"


def _out_of_order(field: Field) -> list[str]:
    """Events of one order key whose first arrival came before the one of an earlier event."""
    firsts: dict[str, list[int]] = {}
    for request in field.receiver.requests:
        if request.path == "/sent":
            body = json.loads(request.body)
            places = firsts.setdefault(body["lane"], [])
            if body["place"] not in places[-500:]:
                places.append(body["place"])
    return [f"{lane}: {b} arrived before {a}" for lane, places in firsts.items() for b, a in pairwise(places) if a < b]


def _report(field: Field, senders: list[Senders], problems: list[str], head: str) -> None:
    events = {id_ for sender in senders for id_ in sender.ids.values()}
    runs = (field.fleet.folder / "witness").read_text().count("run")
    counts = {
        **field.done,
        "events answered": len(events),
        "of them sent to two nodes at once": len(senders[0].ids.keys() & senders[1].ids.keys()),
        "attempted again": field.fleet.count("SELECT count(*) FROM webhook_router.delivery WHERE tries > 1"),
        "runs of the command": runs,
        "of its deliveries given up, since three nodes in a row were killed": field.fleet.count(
            f"SELECT count(*) {_COMMANDS} AND {_GIVEN_UP}"
        ),
        "answers 503": sum(sender.answers[503] for sender in senders),
        "deadlocks": field.deadlocks,
        "problems": len(problems),
    }
    print(head)
    for what, count in counts.items():
        print(f"{count:>10,}  {what}")


def settle(fleet: Fleet) -> None:
    """Wait until all is delivered, or nothing was for a minute."""
    left, since = fleet.unsettled(), time.monotonic()
    while left and time.monotonic() < since + 60:
        time.sleep(0.5)
        if (now := fleet.unsettled()) < left:
            left, since = now, time.monotonic()


def main() -> None:
    """Run it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=200, help="of nodes and the server, kill -9")
    arguments.add_argument("--seconds", type=float, default=3600.0, help="after which it ends anyhow")
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments.add_argument("--beside", type=Path, help="a tree with an older program")
    given = arguments.parse_args()
    print(describe("psycopg", "aiohttp"), flush=True)
    with tempfile.TemporaryDirectory() as name:
        problems = run(given.kills, given.seconds, given.seed, Path(name), given.beside)
    print(*problems[:50], sep="\n")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
