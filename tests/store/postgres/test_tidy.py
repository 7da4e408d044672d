"""The writer removes rows that are no longer needed, also when events are kept for ever."""

from collections.abc import Callable

import psycopg
import pytest

from router.domain.deliveries import PlannedDelivery, Settlement, State
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.store.postgres.jobs.tidy import Tidy
from router.store.postgres.store import PostgresStore

NOW = 1_700_000_000_000


def test_old_dedupe_keys_and_ends_of_attempts_are_removed(
    postgres_store: PostgresStore,
    postgres_store_url: str,
    event: Callable[..., Event],
    planned_delivery: Callable[..., PlannedDelivery],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("router.store.limits.KEPT_ENDS", 2)
    for number, window in enumerate((10, 1000, 10)):
        one = event(dedupe_key=f"k{number}")
        postgres_store.append(one, [planned_delivery()], "r1", dedupe_window=window).result(60)
    for claim in postgres_store.claim({"ci": 5}, NOW).result(60):
        end = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
        postgres_store.settle([end]).result(60)
    assert len(postgres_store.ended({}).ends) == 3

    postgres_store._submit(Tidy(NOW + 10)).result(60)

    assert len(postgres_store.ended({}).ends) == 2
    with psycopg.connect(postgres_store_url) as connection:
        rows = connection.execute("SELECT expires_at - received_at FROM webhook_router.dedupe").fetchall()
    assert rows == [(1000,)]


def test_a_busy_writer_removes_old_rows_by_itself(
    postgres_store: PostgresStore,
    postgres_store_url: str,
    event: Callable[..., Event],
    planned_delivery: Callable[..., PlannedDelivery],
) -> None:
    postgres_store.append(event(dedupe_key="k"), [planned_delivery()], "r1", dedupe_window=10).result(60)
    postgres_store._writer._tidy_at = 0.0

    postgres_store.append(event(received_at=NOW + 20), [], "r1").result(60)
    postgres_store.append(event(received_at=NOW + 20), [], "r1").result(60)
    postgres_store.put_note("a", "1").result(60)  # a later write, so that the writer has finished

    with psycopg.connect(postgres_store_url) as connection:
        assert connection.execute("SELECT count(*) FROM webhook_router.dedupe").fetchall() == [(0,)]
