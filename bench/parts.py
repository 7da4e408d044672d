"""CPU µs of each part of an event's way, as ratios to `orjson.loads` of its body; and the receiver's Python calls.

The event is a signed push of 7 kB with ten rules. All of it runs in this process, and the best of the rounds counts:
  - verify, parse, plan; judge: the receiver with all of these, without a store; answer: the reply, with its log line;
    log: that line alone;
  - append, claim, settle: the store, its writer's thread included, where 64 share a commit, which is fsynced;
  - attempt: a forward to a receiver in another process, from the claim to the outcome, 16 at a time.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import structlog
from deliver import receiver
from machine import describe
from push import SECRET, push, rules, signature

from router.daemon.registries import REGISTRIES
from router.daemon.wall_clock import now_ms
from router.delivery.tools import open_tools
from router.domain.deliveries import Claim, Settlement, State
from router.domain.events import Appended, Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.domain.request import Inbound
from router.http.contract import Pending, Request
from router.intake.receiver import Receiver
from router.observe.logging.setup import configure
from router.plugins.action import AttemptInput
from router.rules.compile.loader import Loader
from router.rules.parsing import parse_arriving
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.runtime.lease import Lease
from router.store.sqlite.store import SqliteStore

HEADERS = (
    ("Host", "127.0.0.1:8080"), ("User-Agent", "GitHub-Hookshot/044aadd"), ("Accept", "*/*"),
    ("Content-Type", "application/json"), ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    ("X-GitHub-Event", "push"), ("X-GitHub-Hook-ID", "292430182"),
    ("X-GitHub-Hook-Installation-Target-ID", "79929171"),
    ("X-GitHub-Hook-Installation-Target-Type", "repository"),
)  # fmt: skip
FORWARDED = """
targets: {service: {url: "http://127.0.0.1:%d", concurrency: 64}}
rules:
  - name: main
    match: {headers.X-GitHub-Event: push, $.ref: refs/heads/main, $.repository.full_name: acme/api}
    actions: [forward: {target: service, path: /}]
"""
BATCH = 64  #: jobs in one commit
AT_ONCE = 16  #: attempts
_CALLS = 40  #: in one round; short, so that a round ends within one turn of the processor


class NoStore:
    """Takes events, and stores nothing."""

    def __init__(self) -> None:
        self.stored: Future[Appended] = Future()
        self.stored.set_result(Appended("x"))

    def append(self, *_: Any, **__: Any) -> "Future[Appended]":
        return self.stored


def best(call: Callable[[], object], rounds: int, number: int = _CALLS) -> float:
    """µs of this thread's CPU."""
    found = float("inf")
    for _ in range(rounds):
        began = time.thread_time_ns()
        for _ in range(number):
            call()
        found = min(found, (time.thread_time_ns() - began) / number / 1000)
    return found


def python_calls(call: Callable[[], object]) -> int:
    """Functions called, those written in C included."""
    profile = cProfile.Profile()
    profile.runcall(call)
    return int(pstats.Stats(profile).total_calls) - 1  # type: ignore[attr-defined]


def loaded(text: str, folder: Path) -> Ruleset:
    return Loader(REGISTRIES, {"BENCH_SECRET": SECRET}).load(text, "rules.yaml", folder).require()


def intake_parts(ruleset: Ruleset, body: bytes, rounds: int) -> tuple[dict[str, float], int]:
    """The receiver's parts, and how many calls it makes."""
    source = ruleset.sources["github"]
    headers = (*HEADERS, ("X-Hub-Signature-256", signature(body)), ("Content-Length", str(len(body))))
    handler = Receiver(CurrentRuleset(ruleset), NoStore(), now_ms)  # type: ignore[arg-type]
    inbound = Inbound("", "POST", source.path, "", headers, body, "127.0.0.1", now_ms())
    event = an_event(headers, body)
    parsed = parse_arriving(event, source)

    def judge() -> Pending:
        pending = handler.handle(Request("POST", source.path, "", headers, body, "127.0.0.1"))
        assert isinstance(pending, Pending)
        return pending

    judge().reply(0)  # the first line says which rule came closest
    pending, say = judge(), structlog.get_logger().info
    found = {
        "orjson.loads": best(lambda: orjson.loads(body), rounds),
        "verify": best(lambda: source.verifier.verify(inbound, inbound.received_at), rounds),
        "parse": best(lambda: parse_arriving(event, source), rounds),
        "plan": best(lambda: ruleset.plan(parsed), rounds),
        "parse + plan": best(lambda: ruleset.plan(parse_arriving(event, source)), rounds),
        "judge": best(judge, rounds),
        "answer": best(lambda: pending.reply(0), rounds),
        "log": best(
            lambda: say("event received", event_id=event.id, source="github", matched=[], deliveries=0), rounds
        ),
    }
    return found, python_calls(judge)


def an_event(headers: tuple[tuple[str, str], ...], body: bytes) -> Event:
    return Event(uuid7(now_ms()), "github", "POST", "/hooks/github", "", headers, body, "127.0.0.1", now_ms())


def store_parts(ruleset: Ruleset, body: bytes, rounds: int, folder: Path) -> tuple[dict[str, float], list[Claim]]:
    """The store's parts, and some claims."""
    source, least = ruleset.sources["github"], dict.fromkeys(("append", "claim", "settle"), float("inf"))
    headers = (*HEADERS, ("X-Hub-Signature-256", signature(body)))
    claims: list[Claim] = []
    with closing(SqliteStore(folder / "parts.db")) as store:
        store.put_ruleset(ruleset.text, now_ms()).result()

        def timed(part: str, work: Callable[[], Sequence[Future[Any]]]) -> list[Any]:
            began = time.process_time_ns()
            results = [future.result() for future in work()]
            least[part] = min(least[part], (time.process_time_ns() - began) / BATCH / 1000)
            return results

        def append_all(events: list[Event], plans: list[Any]) -> list[Future[Any]]:
            return [store.append(event, plan, ruleset.hash) for event, plan in zip(events, plans, strict=True)]

        for _ in range(rounds):
            events = [an_event(headers, body) for _ in range(BATCH)]
            plans = [ruleset.plan(parse_arriving(event, source)).deliveries for event in events]
            timed("append", partial(append_all, events, plans))
            [claims] = timed("claim", lambda: [store.claim({"service": BATCH}, now_ms() + 1000)])
            assert len(claims) == BATCH
            ends = [_succeeded(claim) for claim in claims]
            timed("settle", lambda ends=ends: [store.settle(ends)])
    return least, claims


def _succeeded(claim: Claim) -> Settlement:
    now, outcome = now_ms(), Outcome.succeeded(status=200)
    return Settlement(claim.delivery.id, claim.token, outcome, State.SUCCEEDED, now, now)


async def attempt_part(ruleset: Ruleset, claims: Sequence[Claim], rounds: int) -> float:
    """µs of this thread's CPU for an attempt."""
    source = ruleset.sources["github"]
    action, least = ruleset.rules[0].actions[0].action, float("inf")
    async with open_tools(REGISTRIES.actions, lambda: False, Lease(), None) as tools:

        async def attempt(claim: Claim) -> Outcome:
            job = AttemptInput(claim, partial(parse_arriving, claim.event, source), ruleset.secrets, frozenset())
            return await action.attempt(job, tools[action.type])

        for _ in range(rounds):
            began = time.thread_time_ns()
            for start in range(0, BATCH, AT_ONCE):
                await asyncio.gather(*map(attempt, claims[start : start + AT_ONCE]))
            least = min(least, (time.thread_time_ns() - began) / BATCH / 1000)
    return least


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=100)
    given = arguments.parse_args()
    print(describe("apsw", "orjson", "structlog", "aiohttp"))
    print(table(given.rounds))


@contextmanager
def unseen_log() -> Iterator[None]:
    """Log in JSON, as the daemon does; nobody sees the lines."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    lines = configure("info", "json")
    try:
        yield
    finally:
        lines.end()
        os.dup2(kept, 2)
        os.close(kept)


def table(rounds: int) -> str:
    """All parts, a line each."""
    with unseen_log():
        return measured_parts(rounds)


def measured_parts(rounds: int) -> str:
    body = push()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, receiver() as target:
        folder = Path(name)
        found, calls = intake_parts(loaded(rules(), folder), body, rounds)
        text = rules().replace("rules:\n", FORWARDED % target.port, 1)
        forwarding = loaded(text, folder)
        stored, claims = store_parts(forwarding, body, max(5, rounds // 4), folder)
        attempt = asyncio.run(attempt_part(forwarding, claims, max(5, rounds // 4)))
    one = found["orjson.loads"]
    lines = [f"{part:<14} {took:>7.1f} µs {took / one:>6.2f} x loads" for part, took in
             (*found.items(), *stored.items(), ("attempt", attempt))]  # fmt: skip
    return "\n".join([f"{len(body):,} bytes; {calls} function calls in judge", *lines])


if __name__ == "__main__":
    main()
