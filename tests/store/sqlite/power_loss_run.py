"""Runs a store on a simulated disk that loses power, and checks the store afterwards."""

import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError
from router.domain.events import Appended, Event
from router.domain.outcomes import Outcome
from router.store.sqlite import pieces
from router.store.sqlite.store import SqliteStore
from tests.store.sqlite.simulated_disk import CrashImage, Note, Recording, Sync, Write

NAME = "store.db"
NOW = 1_700_000_000_000
PATIENCE_SECONDS = 60.0
WINDOW_MS = 600_000
_EVENTS = 6  #: events in a round
_ENDS = (
    (Outcome.succeeded(200, "ok"), State.SUCCEEDED),
    (Outcome.retry("HTTP 500", 500), State.PENDING),
    (Outcome.failed("HTTP 410", 410), State.DEAD),
    (Outcome.interrupted("the daemon stopped"), State.PENDING),
)
_LIKELY = (6, 3, 1, 1)


@dataclass(frozen=True, slots=True)
class Stored:
    """The store reported an append."""

    event: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """The store reported a claim."""

    delivery: str
    number: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The store reported a settle."""

    delivery: str
    number: int
    outcome: Outcome
    state: State


Fact = Stored | Claimed | Settled


@dataclass(slots=True)
class History:
    """The requests to the store, and everything that its disk and its callers recorded."""

    plans: dict[str, set[str]] = field(default_factory=dict)  #: by event id: the ids of its deliveries
    bodies: dict[str, bytes] = field(default_factory=dict)  #: by event
    keys: dict[str, str] = field(default_factory=dict)  #: by the id of an event with deliveries: its dedupe key
    operated: set[str] = field(default_factory=set)  #: deliveries that were replayed or cancelled
    notes: list[Note] = field(default_factory=list)

    def folds(self) -> int:
        """How often the write-ahead log was started over, after a checkpoint made its pages unnecessary."""
        logs = [note.file for note in self.notes if isinstance(note, Write) and note.offset == 0 and _is_header(note)]
        return len(logs) - len(set(logs))


def _is_header(note: Write) -> bool:
    return len(note.data) == 32


def run_workload(folder: Path, *, rounds: int, seed: int) -> History:
    """Let a store append, claim, settle, checkpoint its write-ahead log, close and reopen on a recorded disk."""
    history = History()
    with pytest.MonkeyPatch.context() as patch, recording() as disk:
        patch.setattr(pieces, "LARGE_BYTES", 4000)  # so that a third of the bodies are stored in pieces
        patch.setattr(pieces, "PIECE_BYTES", 3000)
        for part in range(3):
            store = SqliteStore(folder / NAME)
            try:
                store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(PATIENCE_SECONDS)
                workload = _Workload(store, disk, history, random.Random(seed + part))
                for number in range(rounds // 3):
                    workload.round()
                    if number % 5 == 4:
                        _wait_for_fold(disk)
            finally:
                store.close()  # some deliveries are still claimed; the next owner releases them
        history.notes = disk.notes
    return history


@contextmanager
def recording() -> Iterator[Recording]:
    """Record SQLite's writes."""
    disk = Recording()
    try:
        yield disk
    finally:
        disk.close()


def _wait_for_fold(disk: Recording) -> None:
    """Wait until a checkpoint has synced the database after the last write to the log."""
    database, log = disk.number(NAME), disk.number(NAME + "-wal")

    def folded() -> bool:
        for note in reversed(disk.notes):
            if isinstance(note, Write) and note.file == log:
                return False
            if isinstance(note, Sync) and note.file == database:
                return True
        return False

    with disk.changed:
        assert disk.changed.wait_for(folded, PATIENCE_SECONDS), "the log was not folded"


@dataclass(slots=True)
class _Workload:
    store: SqliteStore
    disk: Recording
    history: History
    chance: random.Random
    last: list[Future[Any]] = field(default_factory=list)

    def round(self) -> None:
        """Append some events, claim and settle some deliveries. Half of the rounds wait for the results."""
        asked = [self._append() for _ in range(_EVENTS)]
        claim = self.store.claim({"ci": 5, "chat": 2}, NOW)
        claim.add_done_callback(self._claimed)
        asked += [settled for one in claim.result(PATIENCE_SECONDS) if (settled := self._settle(one)) is not None]
        asked.append(self._operate(self.store.replay))
        asked.append(self._operate(self.store.cancel))
        if self.chance.random() < 0.5:
            for future in asked:
                future.result(PATIENCE_SECONDS)

    def _claimed(self, claim: "Future[list[Claim]]") -> None:
        for one in claim.result():
            self.disk.mark(Claimed(one.delivery.id, one.attempt))

    def _append(self) -> "Future[Any]":
        chance, number = self.chance, len(self.history.plans)
        key = f"k{chance.randrange(number + 1)}" if chance.random() < 0.5 else None
        event = Event(
            f"event-{number}", "s", "POST", "/", "", (("X", "1"),), chance.randbytes(chance.choice([10, 300, 9000])),
            "192.0.2.1", NOW, key,
        )  # fmt: skip
        plan = [
            PlannedDelivery(
                f"delivery-{number}-{i}", "r", f"a{i}", "forward", chance.choice(["ci", "ci", "chat"]),
                chance.choice([None, "[1]", "[2]"]),
            )
            for i in range(chance.randrange(4))
        ]  # fmt: skip
        self.history.bodies[event.id] = event.body
        self.history.plans[event.id] = {one.id for one in plan}
        if plan and key is not None:
            self.history.keys[event.id] = key
        future = self.store.append(event, plan, "r1", dedupe_window=WINDOW_MS)

        def done(future: "Future[Appended]") -> None:
            self.disk.mark(Stored(future.result().event_id, future.result().duplicate))

        future.add_done_callback(done)
        return future

    def _operate(self, what: "Callable[[list[str], int], Future[list[str]]]") -> "Future[Any]":
        known = [delivery for plan in self.history.plans.values() for delivery in sorted(plan)]
        chosen = self.chance.sample(known, min(len(known), 2))
        self.history.operated.update(chosen)
        return what(chosen, NOW)

    def _settle(self, claim: Claim) -> "Future[Any] | None":
        if self.chance.random() < 0.1:
            return None  # this one stays claimed until the store closes
        outcome, state = self.chance.choices(_ENDS, _LIKELY)[0]
        fact = Settled(claim.delivery.id, claim.attempt, outcome, state)
        future = self.store.settle([Settlement(claim.delivery.id, claim.token, outcome, state, NOW, NOW)])

        def done(fact: Settled, future: "Future[list[bool]]") -> None:
            if future.result()[0]:
                self.disk.mark(fact)

        future.add_done_callback(partial(done, fact))
        return future


def problems(image: CrashImage, history: History, folder: Path) -> list[str]:
    """Open the files of a crash as a daemon does, and list every error."""
    image.build(folder)
    try:
        store = SqliteStore(folder / NAME)
    except StoreError as error:
        return [f"it does not open: {error}"]
    try:
        with closing(apsw.Connection(str(folder / NAME))) as connection:
            return [
                *_damage(connection),
                *_RecoveredStore(connection).problems(image.facts, history),
                *_other_bodies(store, history),
                *_unusable(store),
            ]
    except apsw.Error as error:
        return [f"it can't be read: {error}"]
    finally:
        store.close()


def _damage(connection: apsw.Connection) -> Iterator[str]:
    for pragma in ("integrity_check", "foreign_key_check"):
        rows = connection.execute(f"PRAGMA {pragma}").fetchall()
        if rows not in ([], [("ok",)]):
            yield f"{pragma}: {rows}"


def _other_bodies(store: SqliteStore, history: History) -> Iterator[str]:
    for event in store.events(limit=1_000_000):
        if event.body != history.bodies[event.id]:
            yield f"{event.id} has another body"


def _unusable(store: SqliteStore) -> Iterator[str]:
    event = Event("after", "s", "POST", "/", "", (), b"{}", "", NOW)
    plan = [PlannedDelivery("delivery-after", "r", "a", "forward", "after")]
    store.append(event, plan, "r1").result(PATIENCE_SECONDS)
    [claim] = store.claim({"after": 1}, NOW).result(PATIENCE_SECONDS)
    if claim.event != event:
        yield f"an event comes back changed: {claim.event}"


class _RecoveredStore:
    """The content of a store after a crash."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.plans: dict[str, set[str]] = {str(event): set() for (event,) in connection.execute("SELECT id FROM event")}
        self.states: dict[str, str] = {}
        self.lanes: dict[tuple[str, str], list[int]] = {}
        for event, delivery, action, lane, state, blocked in connection.execute(_DELIVERIES):
            self.plans[str(event)].add(str(delivery))
            self.states[str(delivery)] = str(state)
            if lane is not None and state in ("pending", "running"):
                self.lanes.setdefault((str(action), str(lane)), []).append(int(str(blocked)))
        self.attempts = {(delivery, number): outcome for delivery, number, outcome in connection.execute(_ATTEMPTS)}
        self.keys = {str(event): str(key) for key, event in connection.execute("SELECT key, event FROM dedupe")}

    def problems(self, facts: list[Fact], history: History) -> Iterator[str]:
        """Reported facts that are not in the store, and incomplete records."""
        for fact in facts:
            yield from self._contradictions(fact, history)
        for event, deliveries in self.plans.items():
            if deliveries != history.plans[event]:
                yield f"{event} is stored in part: {deliveries}"
            if event in history.keys and self.keys.get(event) != history.keys[event]:
                yield f"{event} is stored without its dedupe key"
        for delivery, state in self.states.items():
            if state == "running":
                yield f"{delivery} is still running"
            if state == "succeeded" and "succeeded" not in self._outcomes(delivery):
                yield f"{delivery} succeeded without a succeeded attempt"
            if None in self._outcomes(delivery):
                yield f"{delivery} has an attempt without an end"
        for lane, blocked in self.lanes.items():
            if blocked != [0] + [1] * (len(blocked) - 1):
                yield f"lane {lane}: not only its first is unblocked: {blocked}"

    def _contradictions(self, fact: Fact, history: History) -> Iterator[str]:
        match fact:
            case Stored():
                if fact.event not in self.plans:
                    yield f"{fact} is lost"
            case Claimed():
                if (fact.delivery, fact.number) not in self.attempts:
                    yield f"{fact}: the attempt is lost"
            case Settled():
                if self.attempts.get((fact.delivery, fact.number)) != fact.outcome.kind.value:
                    yield f"{fact}: the attempt's outcome is lost"
                if fact.state is State.PENDING or fact.delivery in history.operated:
                    return
                if self.states.get(fact.delivery) != fact.state.value:
                    yield f"{fact}: it is {self.states.get(fact.delivery)}"

    def _outcomes(self, delivery: str) -> list[Any]:
        numbers = itertools.takewhile(lambda n: (delivery, n) in self.attempts, itertools.count(1))
        return [self.attempts[delivery, number] for number in numbers]


_DELIVERIES = """
SELECT e.id, d.id, d.action, d.order_key, d.state, d.blocked FROM delivery d JOIN event e ON e.seq = d.event
ORDER BY coalesce(d.place, d.seq)
"""
_ATTEMPTS = "SELECT d.id, a.number, a.outcome FROM attempt a JOIN delivery d ON d.seq = a.delivery"
