"""A store behind a pooler in transaction mode: a small one of the tests, and pgbouncer where it is installed."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreUnusable
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.store.fleet import NodeFacts
from router.store.postgres.operator_store import PostgresOperatorStore
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.pgbouncer import PGBOUNCER, PgBouncer
from tests.postgres import Server
from tests.transaction_pooler import TransactionPooler

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture(params=["own", *(["pgbouncer"] if PGBOUNCER else [])])
def pooled_url(request: pytest.FixtureRequest, postgres_server: Server, postgres_store_url: str) -> Iterator[str]:
    """The URL of an empty store behind a pooler. The URL does not say that there is a pooler."""
    pooler = TransactionPooler(postgres_server.port) if request.param == "own" else PgBouncer(postgres_server)
    yield postgres_store_url.replace(f":{postgres_server.port}/", f":{pooler.port}/")
    pooler.close()


def test_two_stores_share_the_work_behind_a_pooler(
    pooled_url: str, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    url = parse_url(f"{pooled_url}?pgbouncer=true")
    with closing(PostgresStore(url)) as one, closing(PostgresStore(url)) as other:
        one.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(60)
        for number, store in enumerate((one, other)):
            store.fleet.join(NodeFacts(f"n{number}", "host", number, "1", ("intake",), ()), "r1", 60_000)
        copies = [
            store.append(event(dedupe_key=str(number)), [planned_delivery(order_key="k")], "r1", dedupe_window=1000)
            for number in range(10)
            for store in (one, other)
        ]
        stored = {copy.result(60).event_id for copy in copies}
        done = []
        for store in (one, other) * 10:
            for claim in store.claim({"ci": 5}, NOW).result(60):
                end = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
                assert store.settle([end]).result(60) == [State.SUCCEEDED]
                done.append(claim.event.id)
            assert store.fleet.renew("r1", 60_000) is not None

    with closing(PostgresOperatorStore(url)) as operator:
        assert sorted(done) == sorted(stored) == sorted(found.id for found in operator.events())
        assert [finding for finding in operator.check(lambda *_: None) if finding.broken] == []


def test_the_url_must_say_that_there_is_a_pooler_in_transaction_mode(pooled_url: str) -> None:
    for open_store in (PostgresStore, PostgresOperatorStore):
        with pytest.raises(StoreUnusable, match=r"say so in the URL: \?pgbouncer=true"):
            open_store(parse_url(pooled_url))
