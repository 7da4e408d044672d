"""Following an SQLite store: commits of other processes, removed attempts, and stores of earlier versions."""

from contextlib import closing
from pathlib import Path

import pytest

from router.domain.deliveries import RulesetText, State
from router.domain.outcomes import Outcome, OutcomeKind
from router.store.sqlite.connection import connect
from router.store.sqlite.operator_store import SqliteOperatorStore
from router.store.sqlite.store import SqliteStore
from tests.store.sqlite.earlier_store import copy_rows
from tests.store.test_following import NOW, MakeEvent, MakePlan, end, ends, put, take


def test_a_commit_of_another_connection_changes_the_counter(
    path: Path, sqlite_store: SqliteStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    with closing(SqliteOperatorStore(path)) as other:
        before = other.changes()
        assert other.changes() == before

        put(sqlite_store, event())

        assert other.changes() != before


def test_attempts_of_a_dead_daemon_end_when_the_store_opens(
    path: Path, sqlite_store: SqliteStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(sqlite_store, event(), planned_delivery(id="cut"))
    assert take(sqlite_store)
    place = sqlite_store.newest()
    sqlite_store.close()

    with closing(SqliteStore(path)) as store:
        [one] = ends(store, place.ended)

    assert (one.delivery_id, one.attempt.outcome, one.attempt.finished_at) == ("cut", OutcomeKind.INTERRUPTED, NOW)


def test_only_old_ended_attempts_are_removed_from_the_stream(path: Path, sqlite_store: SqliteStore) -> None:
    rows = 250_000
    with closing(connect(path)) as connection:
        numbers = (
            f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i, 1 FROM n"
        )
        connection.execute(f"INSERT INTO settled (delivery, number) {numbers}")
        rows_left = connection.execute("SELECT count(*), min(seq), max(seq) FROM settled").fetchall()
        count, least, most = [int(str(number)) for number in rows_left[0]]

    assert most == rows
    assert 100_000 <= count < 102_000
    assert least == most - count + 1
    assert sqlite_store.newest().ended == {1: rows}


def test_a_migrated_store_numbers_its_ended_attempts(
    path: Path, event: MakeEvent, planned_delivery: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from router.store.sqlite import schema

    newest = path.with_name("newest.db")
    with closing(SqliteStore(newest)) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(10)
        put(store, event(), planned_delivery(id="d"))
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "_MIGRATIONS", schema._MIGRATIONS[:1])
        SqliteStore(path).close()
    copy_rows(newest, path)

    with closing(SqliteStore(path)) as store:
        [claim] = take(store)
        end(store, claim, Outcome.succeeded(), State.SUCCEEDED, NOW)
        assert [one.delivery_id for one in ends(store)] == ["d"]
