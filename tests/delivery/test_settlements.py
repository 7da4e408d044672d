"""Settlements are committed in batches. One that can't be stored does not affect the others."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from router.delivery.settling import FinishedAttempt, Settling
from router.domain.deliveries import Claim, PlannedDelivery, Settlement, State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.observe import metric_families as f
from router.observe.metrics import Metrics
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

NOW = 1_700_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An SQLite store."""
    with closing(open_store(tmp_path / "store.db")) as opened:
        yield opened


def claimed(store: SqliteStore, count: int) -> list[Claim]:
    """Store an event with some deliveries, and claim them."""
    event = Event(uuid7(NOW), "s", "POST", "/hooks/s", "", (), b"{}", "127.0.0.1", NOW)
    plan = [PlannedDelivery(uuid7(NOW), "rule", "action", "forward", "t") for _ in range(count)]
    store.append(event, plan, "r1").result(60)
    return store.claim({"t": count}, NOW).result(60)


def ended(claim: Claim, status: int = 200) -> FinishedAttempt:
    outcome = Outcome.succeeded(status)
    done = Settlement(claim.delivery.id, claim.token, outcome, State.SUCCEEDED, NOW + 5, NOW)
    return FinishedAttempt(claim, outcome, done, 0.005)


async def once(write: "Callable[[], Future[list[State | None]]]") -> list[State | None]:
    """Commit as the dispatcher does with a store that works."""
    return await asyncio.wrap_future(write())


def test_attempts_that_end_during_a_commit_are_settled_in_the_next_commit(store: SqliteStore) -> None:
    first, *others = claimed(store, 4)
    commits: list[list[State | None]] = []

    async def run() -> None:
        held = asyncio.Event()

        async def commit(write: "Callable[[], Future[list[State | None]]]") -> list[State | None]:
            await held.wait()
            commits.append(await once(write))
            return commits[-1]

        settling = Settling(store, commit, Metrics())
        settling.put(ended(first))
        await asyncio.sleep(0)  # let its commit begin
        for claim in others:
            settling.put(ended(claim))
        held.set()
        await settling.finish(10)

    asyncio.run(run())

    assert commits == [[State.SUCCEEDED], [State.SUCCEEDED] * 3]


def test_a_settlement_that_cannot_be_stored_does_not_affect_others(store: SqliteStore) -> None:
    good, bad, also_good = claimed(store, 3)

    async def run() -> None:
        settling = Settling(store, once, Metrics())
        for one in (ended(good), ended(bad, status=1 << 80), ended(also_good)):
            settling.put(one)
        await settling.finish(10)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())

    states = [found.state for claim in (good, bad, also_good) if (found := store.delivery(claim.delivery.id))]
    assert states == [State.SUCCEEDED, State.RUNNING, State.SUCCEEDED]
    [refused] = [line for line in lines if line["log_level"] == "error"]
    assert refused["delivery_id"] == bad.delivery.id


def test_waiting_settlements_are_stored_at_shutdown(store: SqliteStore) -> None:
    first, second = claimed(store, 2)

    async def run() -> None:
        async def never(_: "Callable[[], Future[list[State | None]]]") -> list[State | None]:
            await asyncio.Event().wait()
            return []

        settling = Settling(store, never, Metrics())
        settling.put(ended(first))
        await asyncio.sleep(0)
        settling.put(ended(second))
        await settling.finish(0)

    asyncio.run(run())
    store.put_note("after", "it").result(60)

    found = store.delivery(second.delivery.id)
    assert found is not None and found.state is State.SUCCEEDED


def test_a_delivery_is_counted_only_when_its_lease_still_holds(store: SqliteStore) -> None:
    ours, lost = claimed(store, 2)
    assert store.release(lost).result(60)  # takes the claim away, as an operator's cancel does
    metrics = Metrics()

    async def run() -> None:
        settling = Settling(store, once, metrics)
        settling.put(ended(ours))
        settling.put(ended(lost))
        await settling.finish(10)

    asyncio.run(run())

    name = ("rule", "action", "t", "succeeded")
    assert metrics.counted().counts[f.ATTEMPTS] == {name: 2}
    assert metrics.counted().counts[f.DELIVERIES] == {name: 1}
    assert metrics.counted().histograms[f.DELIVERY_SECONDS]["t",].sum == 0.005
