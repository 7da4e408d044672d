"""What a node notices of others: that they have taken over its work, and that they have joined."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import psycopg
import pytest

from router.daemon.node import Node
from router.delivery.held_claims import HeldClaims
from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.events import Event
from router.runtime.lease import Lease
from router.store.fleet import Limits, NodeFacts, Share
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.conftest import until
from tests.store.conftest import NOW

LEASE_SECONDS = 2.0


class Loop:
    """The delivery loop as its node sees it. It keeps the breakers that it was told."""

    def __init__(self) -> None:
        self.claims = HeldClaims()
        self.breakers: Mapping[str, str] | None = None

    def wanted_shares(self, *, sets_limits: bool) -> Mapping[str, tuple[Limits | None, int]]:
        return {}

    def take_shares(self, shares: Mapping[str, Share]) -> None:
        pass

    def take_breakers(self, breakers: Mapping[str, str], read_at: float) -> None:
        self.breakers = breakers

    def look_again(self) -> None:
        pass


@pytest.fixture
def store(postgres_store_url: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(parse_url(postgres_store_url), on_commit=lambda *_: None)) as one:
        yield one


def test_a_node_whose_work_was_taken_over_ends_its_attempts_before_it_goes_on(
    store: PostgresStore, postgres_store_url: str
) -> None:
    """This happens after a failover, and on a machine whose clocks stood still during a pause."""
    lease = Lease()
    facts = NodeFacts("one", "host", 1, "1", ("delivery",), ())
    node = Node(store.fleet, store, facts, lease, LEASE_SECONDS, lambda: "r1")
    node.join()
    first = node.id
    node.start(None)
    try:
        with psycopg.connect(postgres_store_url) as connection:
            connection.execute("DELETE FROM webhook_router.node")
        until(lambda: node.id != first and lease.until < math.inf and not lease.is_over)
        assert lease.lapses >= 1
        assert not lease.lets_begin
    finally:
        node.stop()


def test_a_node_finds_what_another_one_commits_late_once_that_has_joined(
    store: PostgresStore,
    postgres_store_url: str,
    event: Callable[..., Event],
    planned_delivery: Callable[..., PlannedDelivery],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without waiting for the checks that find everything after half a minute."""
    monkeypatch.setattr("router.daemon.node.SURE_SECONDS", 3600.0)
    monkeypatch.setattr("router.store.postgres.marks.FULL_LOOK_SECONDS", 3600.0)
    store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(60)
    one = Node(store.fleet, store, NodeFacts("one", "host", 1, "1", ("delivery",), ()), Lease(), 60, lambda: "r1")
    one.join()
    one.start(None)
    try:
        until(one.leads)  # it has looked, and was alone
        with closing(PostgresStore(parse_url(postgres_store_url))) as there:
            facts = NodeFacts("two", "host", 2, "1", ("intake",), ())
            Node(there.fleet, there, facts, Lease(), 60, lambda: "r1").join()

            def finds_what_comes_late() -> bool:
                store.append(event(received_at=NOW), [planned_delivery()], "r1").result(60)
                assert store.claim({"ci": 1}, NOW).result(60)
                there.append(event(received_at=NOW - 1000), [planned_delivery()], "r1").result(60)
                return bool(store.claim({"ci": 1}, NOW).result(60))

            until(finds_what_comes_late)
    finally:
        one.stop()


def test_a_changed_breaker_reaches_the_other_nodes_at_once(
    store: PostgresStore, postgres_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.daemon.node.LOOK_SECONDS", 3600.0)
    here, there = Loop(), Loop()
    with closing(PostgresStore(parse_url(postgres_store_url))) as other:
        nodes = [
            Node(its.fleet, its, NodeFacts(name, "host", 1, "1", ("delivery",), ()), Lease(), 600, lambda: "r1")
            for name, its in (("one", store), ("two", other))
        ]
        for node, loop in zip(nodes, (here, there), strict=True):
            node.join()
            node.start(loop)
        try:
            until(lambda: here.breakers == there.breakers == {})  # from now on they look only when they are told
            nodes[0].breaker("hook", "{}")
            until(lambda: there.breakers == {"hook": "{}"})
            nodes[0].breaker("hook", None)
            until(lambda: there.breakers == {})
        finally:
            for node in nodes:
                node.stop()
