"""Reads and writes of an operator's command, with and without a daemon that owns the store."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError, StoreUnavailable
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.store.contract import StoreSize
from router.store.sqlite.operator_store import SqliteOperatorStore
from router.store.sqlite.store import SqliteStore
from tests.conftest import until

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture
def operator(sqlite_store: SqliteStore, path: Path) -> Iterator[SqliteOperatorStore]:
    """The store as an operator's command opens it."""
    with closing(SqliteOperatorStore(path)) as opened:
        yield opened


def die(store: SqliteStore, event: Event, plan: PlannedDelivery) -> None:
    """Append an event whose delivery becomes dead."""
    store.append(event, [plan], "r1").result(10)
    [claim] = store.claim({"ci": 1}, NOW).result(10)
    done = Settlement(claim.delivery.id, claim.token, Outcome.failed("x"), State.DEAD, NOW, NOW)
    assert store.settle([done]).result(10)[0]


def test_the_owner_is_notified_when_an_operator_makes_work_due(
    sqlite_store: SqliteStore, operator: SqliteOperatorStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    one = event()
    die(sqlite_store, one, planned_delivery())
    heard = threading.Event()
    told: list[dict[str, int]] = []

    def listen(due: object) -> None:
        told.append(dict(due))  # type: ignore[call-overload]
        heard.set()

    sqlite_store.on_due(listen)

    operator.replay([sqlite_store.deliveries()[0].id], NOW + 5).result(10)
    assert heard.wait(10)
    assert told[-1] == {"ci": NOW + 5}

    heard.clear()
    plan = planned_delivery(target="new", id=uuid7(NOW + 9))
    operator.plan_again(one.id, [plan], RulesetText("r2", "", ""), NOW + 9).result(10)
    assert heard.wait(10)
    assert told[-1] == {"ci": NOW + 5, "new": NOW + 9}


def test_an_operator_works_without_an_owner(
    sqlite_store: SqliteStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    die(sqlite_store, event(), planned_delivery())
    sqlite_store.close()

    with closing(SqliteOperatorStore(path)) as opened:
        [delivery] = opened.deliveries()
        assert opened.replay([delivery.id], NOW).result(10) == [delivery.id]

    with closing(SqliteStore(path)) as again:
        assert again.due() == {"ci": NOW}


def test_a_write_of_an_operator_waits_for_the_transaction_of_the_owner(
    sqlite_store: SqliteStore, operator: SqliteOperatorStore, path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    die(sqlite_store, event(), planned_delivery())
    [delivery] = operator.deliveries()
    with closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        done: list[list[str]] = []

        def replay() -> None:
            done.append(operator.replay([delivery.id], NOW).result(10))

        thread = threading.Thread(target=replay)
        thread.start()
        assert not done
        other.execute("ROLLBACK")
        thread.join(10)

    assert done == [[delivery.id]]


def test_the_owner_of_the_store_is_reported(sqlite_store: SqliteStore, operator: SqliteOperatorStore) -> None:
    assert operator.owner() == sqlite_store.owner() == os.getpid()
    sqlite_store.close()
    assert operator.owner() is None


def parts(size: StoreSize) -> tuple[int, int]:
    """The bytes of the file and of its log."""
    return size.data, size.log


def test_the_size_includes_the_log(sqlite_store: SqliteStore, path: Path, event: MakeEvent) -> None:
    sqlite_store.append(event(body=b"x" * 100_000), [], "r1").result(10)

    size = sqlite_store.size()

    assert size.data + size.log > 100_000
    assert size.free is not None
    assert size.free > 0
    link = path.with_name("link.db")
    link.symlink_to(path)
    with closing(SqliteOperatorStore(link)) as linked:
        until(lambda: parts(linked.size()) == parts(sqlite_store.size()))  # a checkpoint may come between the two
        assert linked.location == str(path)
    sqlite_store.close()
    assert sqlite_store.size().log == 0


def test_the_size_of_a_removed_store_is_an_error(operator: SqliteOperatorStore, path: Path) -> None:
    path.unlink()

    with pytest.raises(StoreError, match=f"the size of the store {path} can't be read: No such file or directory"):
        operator.size()


def test_a_replaced_store_is_reported(operator: SqliteOperatorStore, path: Path) -> None:
    assert not operator.is_replaced()

    path.rename(path.with_name("old.db"))
    assert operator.is_replaced()

    path.write_bytes(b"")
    assert operator.is_replaced()


def test_a_link_to_another_store_counts_as_replaced(sqlite_store: SqliteStore, path: Path) -> None:
    link, other = path.with_name("link.db"), path.with_name("other.db")
    link.symlink_to(path)
    with closing(SqliteOperatorStore(link)) as linked:
        assert not linked.is_replaced()
        other.touch()
        link.unlink()
        link.symlink_to(other)
        assert linked.is_replaced()


def test_a_closed_store_takes_no_writes(operator: SqliteOperatorStore) -> None:
    operator.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        operator.cancel(["d"], NOW).result(10)


def test_an_operator_does_not_create_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        SqliteOperatorStore(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []
