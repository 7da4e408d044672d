"""A large body is appended on a connection of its own, so that other writes don't wait for it."""

from collections.abc import Callable

import psycopg
import pytest

from router.domain.deliveries import PlannedDelivery
from router.domain.errors import StoreUnavailable
from router.domain.events import Event
from router.store.postgres.lanes import _LANES, bucket, lane_of
from router.store.postgres.store import LARGE_BYTES, PostgresStore
from router.store.postgres.transaction import LOCK_CLASS

NOW = 1_700_000_000_000
BODY = b"\x00\xff" * LARGE_BYTES
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def test_others_commit_while_a_large_body_is_written(
    postgres_store: PostgresStore, postgres_store_url: str, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    plan = [planned_delivery(order_key="k")]
    with psycopg.connect(postgres_store_url) as other:  # this lock makes the large one wait
        lock = _LANES + bucket(lane_of(plan[0].rule, plan[0].action, "k"))
        other.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, lock))
        large = postgres_store.append(event(id="large", body=BODY), plan, "r1")

        postgres_store.append(event(id="small"), [], "r1").result(60)

        assert not large.done()
    large.result(60)
    assert {one.id: len(one.body) for one in postgres_store.events()}["large"] == len(BODY)


def test_the_delivery_of_a_large_event_can_be_claimed_after_later_ones(
    postgres_store: PostgresStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    postgres_store.append(event(received_at=NOW), [planned_delivery()], "r1").result(60)
    assert len(postgres_store.claim({"ci": 1}, NOW).result(60)) == 1

    postgres_store.append(event(id="large", body=BODY, received_at=NOW - 1000), [planned_delivery()], "r1").result(60)

    [claim] = postgres_store.claim({"ci": 1}, NOW).result(60)
    assert claim.event.body == BODY


def test_a_duplicate_of_a_large_event_is_found_on_either_connection(
    postgres_store: PostgresStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    def append(name: str, body: bytes) -> str:
        sent = event(id=name, body=body, dedupe_key="k")
        return postgres_store.append(sent, [planned_delivery()], "r1", dedupe_window=1000).result(60).event_id

    assert [append("large", BODY), append("small", b"{}"), append("again", BODY)] == ["large"] * 3


def test_after_close_a_large_body_is_refused(postgres_store: PostgresStore, event: MakeEvent) -> None:
    postgres_store.append(event(body=BODY), [], "r1").result(60)
    postgres_store.close()

    with pytest.raises(StoreUnavailable):
        postgres_store.append(event(body=BODY), [], "r1").result(60)
