"""A store is copied from SQLite to PostgreSQL and back, with its pending deliveries."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from router.domain.deliveries import IncludedText, PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError, StoreInUse
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.groups import Latest, Once
from router.domain.holds import HoldKind
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome, Sent
from router.store.contract import OperatorStore, Store
from router.store.copying.copy import Copied, copy_store
from router.store.copying.rows import TABLES
from router.store.location import StoreLocation, store_location
from router.store.open import open_operator_store, open_store
from router.store.postgres.copying import PostgresTarget
from router.store.sqlite.copying import SqliteSource, SqliteTarget
from router.store.sqlite.pieces import LARGE_BYTES
from router.store.sqlite.store import SqliteStore

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def copy(source: StoreLocation, target: StoreLocation) -> Copied:
    """Copy, without a progress bar."""
    return copy_store(source, target, lambda *_: None)


def fill(store: Store, event: MakeEvent, planned: MakePlan) -> None:
    """Put deliveries in each state into a store, and every other kind of row."""
    included = (IncludedText("teams/*.yaml", "teams/pay.yaml", "rules: []", "/etc/teams"),)
    store.put_ruleset(RulesetText("r0", "", "/"), NOW).result(60)
    store.put_ruleset(RulesetText("r1", "rules: [] # é", "/etc", included), NOW + 1).result(60)

    def put(*plan: PlannedDelivery, **facts: object) -> None:
        made = event(id=uuid7(NOW), body=b"\x00\xff", path="/a\x00b", **facts)
        errors = [("slow", "too many values")]
        store.append(made, plan, "r1", matched=["deploy", "audit"], errors=errors, dedupe_window=10**9).result(60)

    put(planned("done"), planned("dead"), planned("retry"), planned("run"), planned("cancelled"), dedupe_key='"k"')
    put(planned("ordered", order_key='["\\u0000"]'), planned("ordered", order_key='["\\u0000"]'))
    put(planned("replayed", order_key="[2]"))
    put(planned("replayed", order_key="[2]"), planned("held", rule="off", item="$.a[0]", item_index=0))
    put()
    store.append(event(id=uuid7(NOW), body=b"\x00\xff" * LARGE_BYTES), [], "r1").result(60)
    sent = Sent("POST", "https://ci.example", (("X-A", "1"),), 2, "44", "{}")
    ends = {
        "done": (replace(Outcome.succeeded(200, "fine\x00"), sent=sent), State.SUCCEEDED),
        "dead": (Outcome.failed("gone", 410), State.DEAD),
        "retry": (Outcome.retry("HTTP 500", 500), State.PENDING),
    }
    for target, (outcome, state) in ends.items():
        [claim] = store.claim({target: 1}, NOW, recorded=[target]).result(60)
        end = Settlement(claim.delivery.id, claim.token, outcome, state, NOW + 5, NOW + 9000)
        assert store.settle([end]).result(60) == [state]
    store.cancel([d.id for d in store.deliveries(Filter(target="cancelled"))], NOW).result(60)
    first = store.deliveries(Filter(target="replayed"))[0].id
    store.cancel([first], NOW).result(60)
    store.replay([first], NOW + 1).result(60)
    store.pause("ci", NOW + 50, NOW).result(60)
    store.put_file_holds([(HoldKind.RULE, "off")], NOW).result(60)
    store.mark_held("off", None).result(60)
    store.put_note("rules", '{"hash": "r1"}').result(60)
    assert len(store.claim({"run": 1}, NOW).result(60)) == 1  # this delivery is running when the daemon ends


def content(store: OperatorStore) -> dict[str, object]:
    """Everything that an operator can read, and the findings of `store check`."""
    deliveries = store.deliveries(limit=1000)
    return {
        "events": store.stored_events(limit=1000),
        "heads": store.event_heads(limit=1000),
        "deliveries": deliveries,
        "attempts": [store.attempts(delivery.id) for delivery in deliveries],
        "holds": store.holds().active(NOW),
        "notes": store.notes(),
        "rulesets": [store.ruleset(name) for name in ("r0", "r1")],
        "names": sorted(store.recent_names()),
        "depths": store.depths(),
        "broken": [finding for finding in store.check(lambda *_: None) if finding.broken],
    }


@pytest.fixture
def filled(path: Path, event: MakeEvent, planned_delivery: MakePlan) -> Path:
    """A full SQLite store whose daemon died."""
    with closing(SqliteStore(path)) as store:
        fill(store, event, planned_delivery)
    return path


def test_copies_in_both_directions_are_complete(filled: Path, postgres_store_url: str) -> None:
    database, back = store_location(postgres_store_url), filled.with_name("back.db")

    there = copy(filled, database)
    assert copy(database, back) == there
    assert (there.events, there.deliveries, there.pending) == (6, 10, 7)

    SqliteStore(filled).close()  # like a start of the daemon, this gives running deliveries back
    found = [content_of(location) for location in (filled, database, back)]
    assert found[0]["broken"] == []
    assert found[0] == found[1] == found[2]


def content_of(location: StoreLocation) -> dict[str, object]:
    """The content of a store. See `content`."""
    with closing(open_operator_store(location)) as store:
        found = content(store)
    assert isinstance(found["notes"], dict)
    found["notes"].pop("last_claims", None)  # PostgreSQL keeps them in a table
    return found


def test_a_daemon_can_continue_with_a_copy(
    filled: Path, postgres_store_url: str, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    copy(filled, store_location(postgres_store_url))

    with closing(open_store(store_location(postgres_store_url))) as store:
        assert store.last_claims() == {"done": NOW, "dead": NOW, "retry": NOW}
        seqs = [delivery.seq for delivery in store.deliveries(limit=100)]
        again = event(dedupe_key='"k"')
        assert store.append(again, [planned_delivery()], "r1", dedupe_window=10**9).result(60).duplicate
        new = event()
        store.append(new, [planned_delivery("ordered", order_key='["\\u0000"]')], "r1").result(60)
        assert store.deliveries(Filter(event_id=new.id))[0].seq > max(seqs) + 1  # higher than those of replays too
        assert len(store.claim({"ordered": 9}, NOW).result(60)) == 1
        [run] = store.claim({"run": 1}, NOW).result(60)
        assert (run.attempt, run.delivery.interruptions) == (2, 1)


def test_a_copy_never_overwrites_a_store(filled: Path, postgres_store_url: str) -> None:
    database = store_location(postgres_store_url)
    copy(filled, database)

    with pytest.raises(StoreError, match="a copy never overwrites"):
        copy(filled, database)
    with pytest.raises(StoreError, match="a copy never overwrites"):
        copy(database, filled)


def test_a_store_is_not_copied_while_a_daemon_uses_it(filled: Path, postgres_store_url: str) -> None:
    with closing(SqliteStore(filled)), pytest.raises(StoreInUse):
        copy(filled, store_location(postgres_store_url))


def test_a_failed_copy_leaves_nothing(filled: Path, postgres_url: str, tmp_path: Path) -> None:
    database = store_location(postgres_url)
    open_store(database).close()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER TABLE webhook_router.attempt ADD CHECK (number < 2 AND outcome <> 'interrupted')")

    with pytest.raises(StoreError, match="can't be written"):
        copy(filled, database)

    with closing(open_operator_store(database)) as store:
        assert store.events() == []
    with pytest.raises(StoreError, match="its folder must exist"):
        copy(database, tmp_path / "none" / "new.db")


def test_every_column_is_copied_or_listed_as_not_copied(filled: Path, postgres_store_url: str) -> None:
    """A column of one store needs a counterpart in the other one, or a reason in `copying`."""
    location = store_location(postgres_store_url)
    assert not isinstance(location, Path)
    with closing(SqliteSource(filled)) as source, closing(SqliteTarget(filled.with_name("n.db"))) as target:
        with closing(PostgresTarget(location)) as postgres:
            for table in TABLES:
                ours, theirs = source.columns(table), postgres.columns(table)
                assert ours == theirs, table
                assert target.columns(table) <= ours, table
    import apsw

    with closing(apsw.Connection(str(filled))) as connection:
        sqlite = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    with psycopg.connect(postgres_store_url) as database:
        rows = database.execute("SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'webhook_router'")
        tables = {name for (name,) in rows}
    assert sqlite - {*TABLES, "settled", "sqlite_sequence", "piece", "unreferenced"} == set()  # bodies go with events
    assert tables - {*TABLES, "settled", "meta", "node", "share", "leader"} == set()


def test_groups_still_work_in_a_copy(
    path: Path, postgres_store_url: str, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    def send(store: Store, *groups: Latest | Once) -> list[str]:
        plan = [planned_delivery(group=group) for group in groups]
        store.append(event(), plan, "r1").result(60)
        return [one.id for one in plan]

    with closing(SqliteStore(path)) as store:
        store.put_ruleset(RulesetText("r1", "", "/"), NOW).result(60)
        [running, first] = send(store, Latest("[1]", 30, 60), Once("[1]", 10**9))
        assert len(store.claim({"ci": 2}, NOW + 30).result(60)) == 2
        [waiting] = send(store, Latest("[1]", 30, 60))
    copy(path, store_location(postgres_store_url))
    copy(store_location(postgres_store_url), path.with_name("back.db"))

    for location in (store_location(postgres_store_url), path.with_name("back.db")):
        with closing(open_store(location)) as copied:
            newest, earlier = send(copied, Latest("[1]", 30, 60), Once("[1]", 10**9))
            states = {delivery.id: (delivery.state, delivery.skipped_for) for delivery in copied.deliveries()}
            assert states[waiting] == (State.SKIPPED, newest)
            assert states[earlier] == (State.SKIPPED, first)
            assert {one.delivery.id for one in copied.claim({"ci": 9}, NOW + 60).result(60)} == {running, first, newest}
            assert not any(finding.broken for finding in copied.check(lambda *_: None))
