"""Each write happens once, also when its connection is cut during COMMIT or the server never answers."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreUnavailable
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.store.postgres.operator_store import PostgresOperatorStore
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.faulty_proxy import FaultyProxy, holds_commit
from tests.postgres import PATIENCE_SECONDS, Server

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture
def proxy(postgres_server: Server) -> Iterator[FaultyProxy]:
    """A proxy before the server that can cut connections."""
    found = FaultyProxy(postgres_server.port)
    yield found
    found.close()


@pytest.fixture
def store(proxy: FaultyProxy, postgres_server: Server, postgres_store_url: str) -> Iterator[PostgresStore]:
    """A store that connects through the proxy."""
    url = postgres_store_url.replace(str(postgres_server.port), str(proxy.port))
    with closing(PostgresStore(parse_url(url))) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(30)
        yield store


def once(proxy: FaultyProxy, when: str) -> None:
    """Cut the connection at the next COMMIT only."""
    cuts = proxy.cuts
    setattr(proxy, when, lambda data: holds_commit(data) and proxy.cuts == cuts)


CUTS = pytest.mark.parametrize("when", ["cut_before", "cut_after"])


@CUTS
def test_an_event_whose_commit_was_cut_is_stored_once(
    store: PostgresStore, proxy: FaultyProxy, event: MakeEvent, planned_delivery: MakePlan, when: str
) -> None:
    one = event(dedupe_key="k")
    once(proxy, when)

    appended = store.append(one, [planned_delivery(order_key="k")], "r1", matched=["x"], dedupe_window=1000).result(30)

    assert proxy.cuts == 1
    assert (appended.event_id, appended.duplicate) == (one.id, False)
    assert [(found.id, len(store.deliveries())) for found in store.events()] == [(one.id, 1)]
    again = store.append(event(dedupe_key="k"), [planned_delivery()], "r1", dedupe_window=1000).result(30)
    assert (again.event_id, again.duplicate) == (one.id, True)
    assert [finding for finding in store.check(lambda *_: None) if finding.broken] == []


@CUTS
def test_an_attempt_whose_settlement_was_cut_is_settled_once(
    store: PostgresStore, proxy: FaultyProxy, event: MakeEvent, planned_delivery: MakePlan, when: str
) -> None:
    store.append(event(), [planned_delivery(order_key="k")], "r1").result(30)
    store.append(event(), [planned_delivery(order_key="k")], "r1").result(30)
    [claim] = store.claim({"ci": 5}, NOW).result(30)
    once(proxy, when)

    end = Settlement(claim.delivery.id, claim.token, Outcome.retry("HTTP 500", 500), State.PENDING, NOW + 5, NOW + 9)
    assert store.settle([end]).result(30) == [State.PENDING]

    assert proxy.cuts == 1
    delivery = store.delivery(claim.delivery.id)
    assert delivery is not None
    assert (delivery.attempts, delivery.state) == (1, State.PENDING)
    assert [finding for finding in store.check(lambda *_: None) if finding.broken] == []


def test_deliveries_of_a_cut_claim_are_running_with_a_token_of_their_own(
    store: PostgresStore, proxy: FaultyProxy, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    """A node gives back running deliveries whose token it does not know."""
    store.append(event(), [planned_delivery(), planned_delivery()], "r1").result(30)
    once(proxy, "cut_after")

    assert store.claim({"ci": 1}, NOW).result(30) != []

    tokens = {delivery.id for delivery in store.deliveries() if delivery.state is State.RUNNING}
    assert len(tokens) == 2  # one by the answered claim, one by the claim without an answer


@CUTS
def test_an_operator_is_told_that_a_change_may_have_been_made(
    proxy: FaultyProxy, store: PostgresStore, event: MakeEvent, planned_delivery: MakePlan, when: str
) -> None:
    store.append(event(), [planned_delivery()], "r1").result(30)
    with closing(PostgresOperatorStore(parse_url(store.location))) as operator:
        once(proxy, when)
        with pytest.raises(StoreUnavailable, match="whether it was written is not known: look, and repeat it"):
            operator.cancel([store.deliveries()[0].id], NOW).result(30)
        operator.cancel([store.deliveries()[0].id], NOW).result(30)

    assert [delivery.state for delivery in store.deliveries()] == [State.CANCELLED]


def test_the_connection_to_a_server_that_never_answers_is_closed(
    store: PostgresStore, proxy: FaultyProxy, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.store.postgres.stuck_watch.STUCK_SECONDS", 0.5)
    monkeypatch.setattr("router.store.postgres.stuck_watch.WATCH_SECONDS", 0.1)
    proxy.stalled.set()
    waiting = store.append(event(), [], "r1")
    with pytest.raises(StoreUnavailable):
        waiting.result(PATIENCE_SECONDS)
    assert not store.writable()

    proxy.stalled.clear()
    until(store.writable)
    store.append(event(), [], "r1").result(30)


def until(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
