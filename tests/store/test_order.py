"""Order keys: random histories of a store are compared with a simple model."""

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.store.location import StoreLocation, store_location
from router.store.open import open_store

NOW = 1_700_000_000_000
LANES = ("[1]", "[2]", None)  #: two order keys, and deliveries without one
MakeEvent = Callable[..., Event]


class History:
    """A store and its model: the active deliveries of each order, first to last."""

    def __init__(self, location: StoreLocation, event: MakeEvent, seed: int) -> None:
        self.random = random.Random(seed)
        self.location = location
        self.event = event
        self.store = open_store(location)
        self.store.put_ruleset(RulesetText("r1", "", ""), 0).result(60)
        self.now = NOW
        self.events: list[str] = []
        self.lane: dict[str, str | None] = {}
        self.state: dict[str, State] = {}
        self.active: dict[str | None, list[str]] = {lane: [] for lane in LANES}
        self.claims: dict[str, Claim] = {}

    def plan(self) -> list[PlannedDelivery]:
        """Plan some deliveries, each the last of its order."""
        plans = [
            PlannedDelivery(uuid7(self.now), "r", "a", "forward", "t", self.random.choice(LANES))
            for _ in range(self.random.randint(1, 3))
        ]
        for one in plans:
            self.lane[one.id] = one.order_key
            self.state[one.id] = State.PENDING
            self.active[one.order_key].append(one.id)
        return plans

    def append(self) -> None:
        """An event arrives."""
        one = self.event(id=uuid7(self.now), received_at=self.now)
        self.events.append(one.id)
        self.store.append(one, self.plan(), "r1").result(60)

    def plan_again(self) -> None:
        """An operator plans an event again."""
        if self.events:
            one = self.random.choice(self.events)
            assert self.store.plan_again(one, self.plan(), RulesetText("r2", "", ""), self.now).result(60)

    def claim(self) -> None:
        """Claim due deliveries. Of each order only the first may be claimed, and only if it does not run."""
        heads = {lane: active[:1] if lane else list(active) for lane, active in self.active.items()}
        may = {one for active in heads.values() for one in active if self.state[one] is State.PENDING}
        count = self.random.randint(1, 4)
        claims = self.store.claim({"t": count}, self.now).result(60)
        assert {claim.delivery.id for claim in claims} <= may
        assert len(claims) == min(count, len(may))
        for claim in claims:
            self.claims[claim.delivery.id] = claim
            self.state[claim.delivery.id] = State.RUNNING

    def settle(self) -> None:
        """Settle an attempt with a random outcome, which counts only while the claim is valid."""
        if not self.claims:
            return
        one = self.random.choice(sorted(self.claims))
        claim = self.claims.pop(one)
        outcome, state = self.random.choice(
            [
                (Outcome.succeeded(200), State.SUCCEEDED),
                (Outcome.failed("x"), State.DEAD),
                (Outcome.retry("x"), State.PENDING),
            ]
        )
        done = Settlement(one, claim.token, outcome, state, self.now, self.now)
        assert bool(self.store.settle([done]).result(60)[0]) == (self.state[one] is State.RUNNING)
        if self.state[one] is State.RUNNING:
            self.become(one, state)

    def release(self) -> None:
        """A claim is given back."""
        if self.claims:
            one = self.random.choice(sorted(self.claims))
            given = self.store.release(self.claims.pop(one)).result(60)
            assert given == (self.state[one] is State.RUNNING)
            if given:
                self.state[one] = State.PENDING

    def cancel(self) -> None:
        """An operator cancels some, whatever their state."""
        chosen = self.some()
        done = self.store.cancel(chosen, self.now).result(60)
        assert done == [d for d in chosen if self.state[d] in (State.PENDING, State.RUNNING, State.DEAD)]
        for one in done:
            self.become(one, State.CANCELLED)

    def replay(self) -> None:
        """An operator replays some, whatever their state."""
        for one in self.some():
            lane, before = self.lane[one], self.state[one]
            first = lane is None or self.active[lane][:1] == [one]
            done = self.store.replay([one], self.now).result(60)
            if before is State.RUNNING or (before is State.PENDING and not first):
                assert done == []
                continue
            assert done == [one]
            if before is not State.PENDING:
                self.active[lane].append(one)
            self.state[one] = State.PENDING

    def restart(self) -> None:
        """Restart the daemon. Running deliveries are pending again, at the same place in their order."""
        self.store.close()
        self.store = open_store(self.location)
        if not isinstance(self.location, Path):
            return  # deliveries of a node stay running until its lease expires
        self.claims.clear()
        for one, state in self.state.items():
            if state is State.RUNNING:
                delivery = self.store.delivery(one)
                assert delivery is not None
                assert delivery.state in (State.PENDING, State.DEAD)  # dead: interrupted too often
                self.state[one] = State.PENDING
                if delivery.state is State.DEAD:
                    self.become(one, State.DEAD)

    def become(self, one: str, state: State) -> None:
        """Note the new state of a delivery in the model."""
        self.state[one] = state
        if state is not State.PENDING and one in self.active[self.lane[one]]:
            self.active[self.lane[one]].remove(one)

    def some(self) -> list[str]:
        """A few random deliveries."""
        return self.random.sample(sorted(self.state), min(len(self.state), self.random.randint(1, 3)))


@pytest.mark.parametrize("seed", range(8))
def test_deliveries_keep_their_order_in_any_history(path: Path, event: MakeEvent, seed: int) -> None:
    check_history(path, event, seed)


@pytest.mark.parametrize("seed", range(8, 12))
def test_deliveries_keep_their_order_in_any_history_on_postgresql(
    postgres_store_url: str, event: MakeEvent, seed: int
) -> None:
    check_history(store_location(postgres_store_url), event, seed)


def check_history(location: StoreLocation, event: MakeEvent, seed: int) -> None:
    """Compare a store with the model after each random operation."""
    history = History(location, event, seed)
    steps = [history.append] * 4 + [history.claim] * 5 + [history.settle] * 5
    steps += [history.replay] * 2 + [history.cancel, history.plan_again, history.release]
    try:
        for number in range(150):
            history.now += 10
            history.random.choice(steps)()
            if number % 40 == 39:
                history.restart()
        assert {d.id: d.state for d in history.store.deliveries(limit=5000)} == history.state
        assert [finding for finding in history.store.check(lambda *_: None) if finding.broken] == []
        # Deliver the rest. The order of the claims must be the model's.
        history.restart()
        while history.claims:
            history.release()
        for lane in LANES[:2]:
            expected = list(history.active[lane])
            went = []
            for _ in range(len(expected)):
                claims = history.store.claim({"t": 5000}, history.now).result(60)
                for claim in claims:
                    if claim.delivery.order_key == lane:
                        went.append(claim.delivery.id)
                    done = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
                    if claim.delivery.order_key in (lane, None):
                        assert history.store.settle([done]).result(60)[0]
                    else:
                        assert history.store.release(claim).result(60)
            assert went == expected
    finally:
        history.store.close()


def test_the_check_of_histories_notices_a_wrong_order(path: Path, event: MakeEvent) -> None:
    """The check fails for a store that does not block the second delivery of an order."""
    import apsw

    history = History(path, event, 1)
    with closing(history.store), closing(apsw.Connection(str(path))) as other:
        while len(history.active["[1]"]) < 3:
            history.append()
        other.execute("UPDATE delivery SET blocked = 0")
        with pytest.raises(AssertionError):
            for _ in range(50):
                history.claim()
