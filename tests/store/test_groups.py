"""Groups: random histories of a store are compared with a naive model of latest_by and once_by."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Event
from router.domain.groups import Group, Latest, Once, Skipped, SkipReason
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.store.contract import MAX_INTERRUPTIONS
from router.store.sqlite.check import check
from tests.conftest import PATIENCE_SECONDS, THOROUGH, number_of_examples
from tests.sqlite_template import open_store

NOW = 1_700_000_000_000
WAIT, MOST, WITHIN = 300, 700, 500
GROUPS: list[Group | None] = [None, Latest("[1]"), Latest("[2]", WAIT, MOST), Once("[1]", WITHIN), Once("[2]", WITHIN)]
OUTCOMES = [
    (Outcome.succeeded(200), State.SUCCEEDED),
    (Outcome.failed("x"), State.DEAD),
    (Outcome.retry("x"), State.PENDING),
    (Outcome.interrupted("x"), State.PENDING),
]
ACTIVE = (State.PENDING, State.RUNNING)


@dataclass(eq=False)
class Known:
    """A delivery of the model."""

    id: str
    group: Group | None  #: None after a replay
    lane: str | None
    place: int
    received_at: int
    due_at: int
    since: int
    state: State = State.PENDING
    skip: tuple[SkipReason, str] | None = None
    fresh: bool = True  #: whether no attempt was made
    interruptions: int = 0


@dataclass
class Model:
    """What a store should contain, computed with plain lists."""

    all: list[Known] = field(default_factory=list)
    firsts: dict[Group, tuple[Known, int]] = field(default_factory=dict)
    places: int = 0
    over: set[Group] = field(default_factory=set)  #: groups whose first delivery a store may have removed

    def next_place(self) -> int:
        self.places += 1
        return self.places

    def of(self, group: Group | None) -> list[Known]:
        return [one for one in self.all if one.group == group and one.group is not None]

    def running(self, group: Group | None) -> bool:
        return isinstance(group, Latest) and any(one.state is State.RUNNING for one in self.of(group))

    def blocked(self, one: Known) -> bool:
        return one.lane is not None and any(
            other.lane == one.lane and other.state in ACTIVE and other.place < one.place for other in self.all
        )

    def forget(self, group: Group | None) -> None:
        """Forget the first delivery of each group whose time is over, as a store may."""
        if group is not None and group in self.over:
            self.firsts.pop(group, None)

    def add(self, planned: PlannedDelivery, at: int) -> None:
        for known, (_, began) in self.firsts.items():
            if isinstance(known, Once) and began + known.within_ms <= at:
                self.over.add(known)
        one = Known(planned.id, planned.group, planned.order_key, self.next_place(), at, at, at)
        group = planned.group
        if isinstance(group, Latest):
            for older in self.of(group):
                if older.state is State.PENDING:
                    if older.fresh:
                        one.since = min(one.since, older.since)
                    self.skip(older, SkipReason.NEWER, one)
            one.due_at = max(at, min(at + group.wait_ms, one.since + group.max_wait_ms))
        elif isinstance(group, Once):
            first = self.firsts.get(group)
            if first is not None and abs(first[1] - at) < group.within_ms:
                self.skip(one, SkipReason.EARLIER, first[0])
            else:
                self.firsts[group] = (one, at)
                self.over.discard(group)
        self.all.append(one)

    def skip(self, one: Known, reason: SkipReason, other: Known) -> None:
        one.state, one.skip = State.SKIPPED, (reason, other.id)

    def end(self, one: Known, state: State) -> None:
        """Its attempt ended, or an operator cancelled it."""
        newer = [other for other in self.of(one.group) if other.state is State.PENDING and other.place > one.place]
        if (
            isinstance(one.group, Latest)
            and newer
            and one.state is State.RUNNING
            and state in (State.PENDING, State.DEAD)
        ):
            self.skip(one, SkipReason.NEWER, newer[0])
            return
        one.state = state
        first = self.firsts.get(one.group) if one.group is not None else None
        if state in (State.DEAD, State.CANCELLED) and first is not None and first[0] is one and one.group is not None:
            del self.firsts[one.group]

    def claimable(self, now: int) -> list[Known]:
        found = [
            one
            for one in self.all
            if one.state is State.PENDING
            and one.due_at <= now
            and not self.blocked(one)
            and not (isinstance(one.group, Latest) and self.running(one.group))
        ]
        return sorted(found, key=lambda one: (one.due_at, self.all.index(one)))


class Histories(RuleBasedStateMachine):
    """Appends, claims, settlements, replays, cancels, crashes and changes of the clock, in any order."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.path = Path(self.folder.name) / "store.db"
        self.model = Model()
        self.claims: dict[str, Claim] = {}
        self.told: list[Skipped] = []
        self.recovered: set[str] = set()
        self.now = NOW
        self.open()

    def open(self) -> None:
        self.store = open_store(self.path)
        self.store.put_ruleset(RulesetText("r1", "", ""), 0).result(10)
        self.store.on_skipped(self.told.extend)

    def teardown(self) -> None:
        broken = [finding for finding in check(self.path, lambda *_: None) if finding.broken]
        self.store.close()
        assert broken == []
        self.folder.cleanup()

    @initialize()
    def attempts_run(self) -> None:
        """Start with running attempts, which few random histories reach."""
        self.append(groups=[GROUPS[1], GROUPS[3], None], lane=None)
        self.claim(count=3)
        self.append(groups=[GROUPS[1], GROUPS[3]], lane="[1]")

    @rule(groups=st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3), lane=st.sampled_from([None, "[1]"]))
    def append(self, groups: list[Group | None], lane: str | None) -> None:
        event = Event(uuid7(self.now), "s", "POST", "/", "", (), b"", "", self.now)
        plan = [PlannedDelivery(uuid7(self.now), "r", "a", "forward", "t", lane, group=group) for group in groups]
        self.store.append(event, plan, "r1").result(10)
        for one in plan:
            found = self.store.delivery(one.id)
            if found is not None and found.skip_reason is not SkipReason.EARLIER:
                self.model.forget(one.group)
            self.model.add(one, self.now)

    @rule(count=st.integers(1, 3))
    def claim(self, count: int) -> None:
        expected = self.model.claimable(self.now)[:count]
        claims = self.store.claim({"t": count}, self.now).result(10)
        assert [claim.delivery.id for claim in claims] == [one.id for one in expected]
        for claim, one in zip(claims, expected, strict=True):
            one.state, self.claims[one.id] = State.RUNNING, claim

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(OUTCOMES))
    def settle(self, data: st.DataObject, end: tuple[Outcome, State]) -> None:
        one = self.chosen(data, lambda known: known.id in self.claims)
        outcome, state = end
        claim = self.claims.pop(one.id)
        done = Settlement(one.id, claim.token, outcome, state, self.now, self.now + 50)
        [told] = self.store.settle([done]).result(10)
        if one.state is not State.RUNNING:  # it was cancelled meanwhile
            assert told is None
            return
        one.fresh = False
        one.interruptions = one.interruptions + 1 if outcome.kind == "interrupted" else 0
        if state is State.PENDING:
            one.due_at = self.now + 50
        self.model.end(one, state)
        assert told is one.state

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        one = self.chosen(data, lambda known: known.id in self.claims)
        assert self.store.release(self.claims.pop(one.id)).result(10) == (one.state is State.RUNNING)
        if one.state is State.RUNNING:
            self.model.end(one, State.PENDING)

    @precondition(lambda self: self.model.all)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        one = self.chosen(data)
        done = self.store.cancel([one.id], self.now).result(10)
        assert bool(done) == (one.state in (State.PENDING, State.RUNNING, State.DEAD))
        if done:
            self.model.end(one, State.CANCELLED)

    @precondition(lambda self: self.model.all)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        one = self.chosen(data)
        behind = isinstance(one.group, Latest) and self.model.running(one.group)
        done = self.store.replay([one.id], self.now).result(10)
        if one.state is State.PENDING:
            assert bool(done) == (not behind and not self.model.blocked(one))
            one.due_at = min(one.due_at, self.now) if done else one.due_at
            return
        assert bool(done) == (one.state is not State.RUNNING)
        if done:
            one.state, one.group, one.skip, one.due_at = State.PENDING, None, None, self.now
            one.place, one.fresh, one.interruptions = self.model.next_place(), True, 0

    @rule(by=st.sampled_from([1, 40, 250, 400, 700]))
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule(by=st.sampled_from([100, 600, 3_600_000]))
    def clock_is_set_back(self, by: int) -> None:
        assume(self.now - by > NOW - 5 * 3_600_000)
        self.now -= by
        self.store.shorten_waits(self.now).result(10)
        for one in self.model.all:  # no delivery waits longer than it was to wait
            if one.state is State.PENDING:
                found = self.store.delivery(one.id)
                assert found is not None
                assert found.next_attempt_at <= one.due_at
                if one.fresh and not one.interruptions:
                    assert found.next_attempt_at <= self.now + (MOST if isinstance(one.group, Latest) else 0)
                one.due_at = found.next_attempt_at
                one.since = min(one.since, self.now)  # a start in the future doesn't count

    @rule()
    def crash(self) -> None:
        """The daemon ends while attempts run, and another one starts."""
        self.store.close()
        self.claims.clear()
        for one in sorted(self.model.all, key=lambda known: known.place):
            if one.state is State.RUNNING:
                one.fresh = False
                one.interruptions += 1
                self.model.end(one, State.DEAD if one.interruptions >= MAX_INTERRUPTIONS else State.PENDING)
                if one.skip is not None:
                    self.recovered.add(one.id)
        self.open()

    @invariant()
    def states_are_as_the_model_has_them(self) -> None:
        found = {d.id: d for d in self.store.deliveries(limit=5000)}
        assert len(found) == len(self.model.all)
        for one in self.model.all:
            d = found[one.id]
            assert (d.state, d.skip_reason, d.skipped_for) == (one.state, *(one.skip or (None, None)))
            pending = one.state is State.PENDING
            assert d.behind == (pending and self.model.running(one.group))
            assert d.blocked == (pending and self.model.blocked(one))
        skipped = [one.id for one in self.model.all if one.state is State.SKIPPED]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not {one.delivery_id for one in self.told} | self.recovered >= set(skipped):  # reported after the result
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def chosen(self, data: st.DataObject, fits: object = None) -> Known:
        known = [one for one in self.model.all if not callable(fits) or fits(one)]
        return known[data.draw(st.integers(0, len(known) - 1))]


Histories.TestCase.settings = settings(
    max_examples=number_of_examples(40), stateful_step_count=25, deadline=None, derandomize=THOROUGH == 1
)
test_no_history_differs_from_the_model = Histories.TestCase
