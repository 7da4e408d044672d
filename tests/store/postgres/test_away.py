"""While the server is away, appends are refused. When it returns, the store works again by itself."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError, StoreUnavailable
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.postgres import PATIENCE_SECONDS, Server

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server for the tests of this module alone, which stop and kill it."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def store(own_server: Server) -> Iterator[PostgresStore]:
    """A new store on that server."""
    with closing(PostgresStore(parse_url(own_server.url(own_server.new_database())))) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(30)
        yield store


def until(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def append(store: PostgresStore, event: Event, *plan: PlannedDelivery) -> None:
    """Append an event and wait for the commit."""
    store.append(event, plan, "r1").result(30)


def test_a_store_works_again_after_its_server_was_stopped(
    own_server: Server, store: PostgresStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    first = event()
    append(store, first, planned_delivery())
    [claim] = store.claim({"ci": 1}, NOW).result(30)
    own_server.stop()
    try:
        with pytest.raises(StoreUnavailable, match="can't commit"):
            append(store, event())
        done = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
        with pytest.raises(StoreUnavailable):
            store.settle([done]).result(30)
        with pytest.raises(StoreError, match="can't be re"):
            store.events()
        assert not store.writable()
        assert store.alive
    finally:
        own_server.start()

    until(store.writable)
    assert store.settle([done]).result(30) == [State.SUCCEEDED]
    assert store.settle([done]).result(30) == [State.SUCCEEDED]  # as after a lost answer, the settlement is sent again
    append(store, event())
    assert [found.id for found in store.events()][1:] == [first.id]


def test_a_stream_of_events_does_not_delay_the_next_connection_try(
    own_server: Server, store: PostgresStore, event: MakeEvent
) -> None:
    own_server.stop()
    restarted = False
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        for number in itertools.count():
            assert time.monotonic() < deadline
            try:
                append(store, event())
            except StoreUnavailable:
                pass
            else:
                break
            if number == 50:
                own_server.start()
                restarted = True
            time.sleep(0.01)
    finally:
        if not restarted:
            own_server.start()

    assert restarted
    assert store.writable()


def test_no_acknowledged_event_is_lost_when_the_server_is_killed(
    own_server: Server, store: PostgresStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    made = [event() for _ in range(20)]
    for one in made:
        append(store, one, planned_delivery())

    own_server.kill()
    own_server.start()

    until(store.writable)
    assert {found.id for found in store.events()} >= {one.id for one in made}


def test_a_commit_survives_a_cut_connection(
    own_server: Server, store: PostgresStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    append(store, event(), planned_delivery())
    with psycopg.connect(str(store.location), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    append(store, event(), planned_delivery())
    assert len(store.claim({"ci": 5}, NOW).result(30)) == 2
    assert len(store.events()) == 2


def test_the_error_for_a_read_only_database_says_so(store: PostgresStore, event: MakeEvent) -> None:
    with psycopg.connect(str(store.location), autocommit=True) as connection:
        for setting in ("on", "off"):
            sql = f"ALTER DATABASE {connection.info.dbname} SET default_transaction_read_only = {setting}"
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(sql.encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if setting == "on":
                with pytest.raises(StoreUnavailable, match="read-only"):
                    append(store, event())
                assert not store.writable()

    until(store.writable)
    append(store, event())


def test_a_lock_timeout_does_not_refuse_the_row(
    store: PostgresStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    with psycopg.connect(str(store.location)) as connection:
        connection.execute("LOCK TABLE webhook_router.event IN EXCLUSIVE MODE")
        waiting = store.append(event(), [planned_delivery()], "r1")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            waiting.result(60)

    until(store.writable)
    append(store, event(), planned_delivery())
    assert len(store.events()) == 1


def test_a_store_that_waits_for_its_server_uses_little_cpu(own_server: Server, store: PostgresStore) -> None:
    own_server.stop()
    try:
        with pytest.raises(StoreUnavailable):
            store.put_note("a", "1").result(30)
        began = time.process_time()
        time.sleep(1.5)
        assert time.process_time() - began < 0.5
    finally:
        own_server.start()
    until(store.writable)
