"""`store check` finds each broken invariant of a PostgreSQL store."""

from collections.abc import Callable

import psycopg
import pytest

from router.domain.deliveries import PlannedDelivery
from router.domain.events import Event
from router.store.contract import Finding
from router.store.postgres.check import INVARIANTS, checked
from router.store.postgres.store import PostgresStore

NOW = 1_700_000_000_000
_DELIVERY = "UPDATE webhook_router.delivery SET"

#: by invariant: a statement that breaks it in a store with a running, a waiting and a blocked delivery
DAMAGE = {
    "every delivery has its event, every attempt its delivery": "DELETE FROM webhook_router.event WHERE id = 'e1'",
    "a blocked delivery waits for an earlier one of its order": f"{_DELIVERY} state = 'cancelled' WHERE id = 'first'",
    "of one order only the first is not blocked": f"{_DELIVERY} blocked = 0",
    "a delivery with an order key has its lane, and no other has one": f"{_DELIVERY} lane = NULL, blocked = 0",
    "only pending deliveries are held": f"{_DELIVERY} blocked = 2 WHERE id = 'run'",
    "a delivery has a claim's token and node exactly while it is running": f"{_DELIVERY} token = NULL WHERE id = 'run'",
    "a running delivery has one attempt under way": "DELETE FROM webhook_router.attempt",
    "no attempt is under way of a delivery that is not running": f"{_DELIVERY} state = 'pending' WHERE id = 'run'",
    "a delivery that succeeded has an attempt that did": f"{_DELIVERY} state = 'succeeded' WHERE id = 'first'",
    "the rules that planned a delivery are there": "DELETE FROM webhook_router.ruleset",
    "no delivery's place lies beyond the next one's": f"{_DELIVERY} place = 10 ^ 9 WHERE id = 'second'",
}


@pytest.fixture
def filled(
    postgres_store: PostgresStore, event: Callable[..., Event], planned_delivery: Callable[..., PlannedDelivery]
) -> PostgresStore:
    """A store with a running, a waiting and a blocked delivery."""
    plans = [
        planned_delivery(target="now", id="run"),
        planned_delivery(id="first", order_key="k"),
        planned_delivery(id="second", order_key="k"),
    ]
    postgres_store.append(event(id="e1"), plans, "r1").result(60)
    assert len(postgres_store.claim({"now": 1}, NOW).result(60)) == 1
    return postgres_store


def broken(store: PostgresStore) -> dict[str, Finding]:
    """The names of the broken invariants that `store check` finds."""
    return {finding.name: finding for finding in store.check(lambda *_: None) if finding.broken}


def test_a_sound_store_passes_the_check(filled: PostgresStore) -> None:
    assert broken(filled) == {}


def test_the_check_finds_each_broken_invariant() -> None:
    assert list(DAMAGE) == [invariant.name for invariant in INVARIANTS]


def test_the_check_shows_examples_of_each_broken_invariant(filled: PostgresStore, postgres_store_url: str) -> None:
    with psycopg.connect(postgres_store_url) as connection:
        for invariant in INVARIANTS:
            connection.execute(DAMAGE[invariant.name].encode())

            found = checked(connection, invariant)

            assert found.examples, invariant.name
            assert found.broken >= len(found.examples)
            connection.rollback()
    assert broken(filled) == {}
