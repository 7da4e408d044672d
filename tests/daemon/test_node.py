"""A node notices that others have taken over its work, even while its own lease holds."""

import math
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from router.daemon.node import Node
from router.runtime.lease import Lease
from router.store.fleet import NodeFacts
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.conftest import until

LEASE_SECONDS = 2.0


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
