"""A store that is opened without owning it: an operator's writes, beside the owner and without one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.store.sqlite.file import disk_usage, owner_of
from router.store.sqlite.store import SqliteStore

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture
def visitor(sqlite_store: SqliteStore, path: Path) -> Iterator[SqliteStore]:
    """The same store, as an operator's command opens it."""
    with closing(SqliteStore(path, create=False, own=False)) as opened:
        yield opened


def die(store: SqliteStore, event: Event, plan: PlannedDelivery) -> None:
    """Put a delivery and let it die."""
    store.append(event, [plan], "r1").result(10)
    [claim] = store.claim({"ci": 1}, NOW).result(10)
    done = Settlement(claim.delivery.id, claim.token, Outcome.failed("x"), State.DEAD, NOW, NOW)
    assert store.settle(done).result(10)


def test_the_owner_is_notified_when_an_operator_makes_work_due(
    sqlite_store: SqliteStore, visitor: SqliteStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    one = event()
    die(sqlite_store, one, planned_delivery())
    heard = threading.Event()
    told: list[dict[str, int]] = []

    def listen(due: object) -> None:
        told.append(dict(due))  # type: ignore[call-overload]
        heard.set()

    sqlite_store.on_due(listen)

    visitor.replay([sqlite_store.deliveries()[0].id], NOW + 5).result(10)
    assert heard.wait(10)
    assert told[-1] == {"ci": NOW + 5}

    heard.clear()
    plan = planned_delivery(target="new", id=uuid7(NOW + 9))
    visitor.plan_again(one.id, [plan], RulesetText("r2", "", ""), NOW + 9).result(10)
    assert heard.wait(10)
    assert told[-1] == {"ci": NOW + 5, "new": NOW + 9}


def test_an_operator_cannot_append_claim_or_prune(
    visitor: SqliteStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    calls: list[Future[Any]] = [
        visitor.append(event(), [planned_delivery()], "r1"),
        visitor.claim({"ci": 1}, NOW),
        visitor.put_ruleset(RulesetText("r9", "", ""), NOW),
        visitor.put_note("a", "{}"),
        visitor.prune(NOW, NOW),
    ]
    for future in calls:
        with pytest.raises(StoreError, match="an operator's commands only"):
            future.result(10)
    assert visitor.events() == []
    assert not visitor.writable()


def test_an_operator_works_without_an_owner(
    sqlite_store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    die(sqlite_store, event(), planned_delivery())
    sqlite_store.close()

    with closing(SqliteStore(path, create=False, own=False)) as opened:
        [delivery] = opened.deliveries()
        assert opened.replay([delivery.id], NOW).result(10) == [delivery.id]

    with closing(SqliteStore(path)) as again:
        assert again.due() == {"ci": NOW}


def test_an_operators_write_waits_for_the_owners_transaction(
    sqlite_store: SqliteStore, visitor: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    die(sqlite_store, event(), planned_delivery())
    [delivery] = visitor.deliveries()
    with closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        done: list[list[str]] = []

        def replay() -> None:
            done.append(visitor.replay([delivery.id], NOW).result(10))

        thread = threading.Thread(target=replay)
        thread.start()
        assert not done
        other.execute("ROLLBACK")
        thread.join(10)

    assert done == [[delivery.id]]


def test_the_owner_of_the_store_is_reported(sqlite_store: SqliteStore, visitor: SqliteStore, path: Path) -> None:
    import os

    assert owner_of(path) == os.getpid()
    sqlite_store.close()
    assert owner_of(path) is None
    assert owner_of(path.with_name("none.db")) is None


def test_the_size_on_disk_includes_the_log(sqlite_store: SqliteStore, path: Path, event: MakeEvent) -> None:
    sqlite_store.append(event(body=b"x" * 100_000), [], "r1").result(10)

    size, log = disk_usage(path)

    assert size + log > 100_000
    link = path.with_name("link.db")
    link.symlink_to(path)
    assert disk_usage(link) == (size, log)
    sqlite_store.close()
    assert disk_usage(path)[1] == 0


def test_an_operator_does_not_create_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        SqliteStore(tmp_path / "none.db", create=False, own=False)
    assert list(tmp_path.iterdir()) == []
