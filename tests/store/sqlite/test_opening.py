"""Opening a store: its owner, its readers, files that are not stores, and migrations."""

import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import orjson
import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError, StoreInUse
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.domain.own_events import PATH, SOURCE
from router.domain.summaries import Depth
from router.store.contract import MAX_INTERRUPTIONS
from router.store.sqlite import schema
from router.store.sqlite.operator_store import SqliteOperatorStore
from router.store.sqlite.store import SqliteStore
from tests.store.sqlite.earlier_store import copy_rows

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


@pytest.fixture
def store(sqlite_store: SqliteStore) -> SqliteStore:
    """Run these tests on SQLite only."""
    return sqlite_store


def test_a_second_owner_is_refused_with_the_first_owners_process(store: SqliteStore, path: Path) -> None:
    with pytest.raises(StoreInUse, match=r"in use by another daemon \(process \d+\)"):
        SqliteStore(path)


_OPEN = "import sys; from pathlib import Path; from router.store.sqlite.store import SqliteStore; SqliteStore(Path(sys.argv[1]))"


def test_removing_the_lock_file_admits_no_second_owner(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    path.with_name("store.db.lock").unlink()

    for _ in range(2):  # the first try creates the lock file again
        second = subprocess.run(
            [sys.executable, "-c", _OPEN, str(path)], capture_output=True, text=True, check=False, timeout=60
        )
        assert "StoreInUse" in second.stderr
        assert "in use by another daemon, though its lock's file was removed" in second.stderr
    store.append(event(), [], "r1").result(10)
    reader = SqliteOperatorStore(path)
    assert len(reader.events()) == 1
    reader.close()
    store.close()
    assert subprocess.run([sys.executable, "-c", _OPEN, str(path)], check=False, timeout=60).returncode == 0


def test_a_closed_store_can_be_opened_again(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    first = event()
    store.append(first, [], "r1").result(10)
    store.close()

    again = SqliteStore(path)
    assert again.events() == [first]
    again.close()


def test_other_processes_may_read_while_a_daemon_owns_the_store(
    store: SqliteStore, path: Path, event: MakeEvent
) -> None:
    store.append(event(), [], "r1").result(10)

    reader = SqliteOperatorStore(path)

    assert len(reader.events()) == 1
    reader.close()
    with pytest.raises(StoreError, match="closed"):
        reader.events()


def test_a_symlink_to_the_store_admits_no_second_owner(store: SqliteStore, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)

    with pytest.raises(StoreInUse, match=re.escape(str(path))):
        SqliteStore(link)


def test_opening_without_owning_changes_nothing(path: Path) -> None:
    path.touch()

    with pytest.raises(StoreError, match="there is no store"):
        SqliteOperatorStore(path)

    assert path.stat().st_size == 0


def test_an_empty_file_becomes_a_store_for_its_owner(path: Path) -> None:
    path.touch()  # as left by a crash just after the first start

    with closing(SqliteStore(path)) as store:
        assert store.events() == []


def test_closing_checkpoints_the_wal_after_others_have_read(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    store.append(event(), [], "r1").result(10)
    store.due()

    store.close()

    assert {found.name for found in path.parent.iterdir()} == {"store.db", "store.db.lock"}


def test_the_files_of_a_store_are_private_to_their_user(store: SqliteStore, path: Path, event: MakeEvent) -> None:
    store.append(event(), [], "r1").result(10)

    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.glob("store.db*")}

    assert set(modes) >= {"store.db", "store.db-wal", "store.db.lock"}
    assert set(modes.values()) == {0o600}


def _other_database(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE mine (x)")
    connection.execute("PRAGMA user_version = 1")  # databases of other programs have a user_version too
    connection.close()


def _newer_store(path: Path) -> None:
    SqliteStore(path).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_text("no database " * 1000), "another file"),
        (_other_database, "some other program"),
        (_newer_store, "schema version 99"),
    ],
)
def test_a_file_that_is_not_a_store_is_refused_unchanged(
    path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(StoreError, match=message):
        SqliteStore(path)

    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_missing_folder_and_a_missing_store_get_different_errors(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder must exist"):
        SqliteStore(tmp_path / "none" / "store.db")
    with pytest.raises(StoreError, match="there is no store"):
        SqliteOperatorStore(tmp_path / "store.db")
    assert not (tmp_path / "store.db").exists()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        SqliteStore(tmp_path / "file" / "store.db")


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process can't write to. Root may write anywhere, so the process changes its user."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)


def test_the_error_for_an_unwritable_folder_names_it_and_the_cure(closed_folder: Path) -> None:
    with pytest.raises(StoreError, match=r"Permission denied.*must exist and be writable"):
        SqliteStore(closed_folder / "store.db")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file of another user")
@pytest.mark.parametrize("name", ["store.db", "store.db.lock"])
def test_the_error_for_a_store_that_belongs_to_root_names_it_and_the_cure(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below tmp_path, which only root may enter
        Path(folder).chmod(0o777)
        Path(folder, name).touch(mode=0o600)
        os.seteuid(65534)
        try:
            with pytest.raises(StoreError, match=rf"Permission denied; \S+/{name} belongs to another user: chown it"):
                SqliteStore(Path(folder, "store.db"))
        finally:
            os.seteuid(0)


def test_an_older_store_is_migrated_by_its_owner_only(
    store: SqliteStore, path: Path, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = event()
    store.append(first, [], "r1").result(10)
    store.close()
    version = schema.newest_version()
    steps = ("ALTER TABLE event ADD COLUMN two TEXT;", "CREATE TABLE three (x); CREATE INDEX i ON three (x);")
    monkeypatch.setattr(schema, "_MIGRATIONS", (*schema._MIGRATIONS, *steps))

    with pytest.raises(StoreError, match=f"schema version {version}, this program needs {version + 2}"):
        SqliteOperatorStore(path)
    SqliteStore(path).close()

    with closing(SqliteOperatorStore(path)) as reader:
        assert reader.events() == [first]
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.pragma("user_version") == version + 2
        assert connection.execute("SELECT two FROM event JOIN (SELECT count(*) FROM three)").get is None


@pytest.mark.parametrize("version", range(1, schema.newest_version()))
def test_a_store_of_every_earlier_version_is_migrated(
    path: Path, event: MakeEvent, planned_delivery: MakePlan, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    newest = path.with_name("newest.db")
    with closing(SqliteStore(newest)) as store:
        made = [event(), event()]
        for one in made:
            store.append(one, [planned_delivery(order_key="k"), planned_delivery(action="b")], "r1").result(10)
        [claim] = store.claim({"ci": 1}, NOW).result(10)
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "_MIGRATIONS", schema._MIGRATIONS[: version - 1])
        SqliteStore(path).close()
    copy_rows(newest, path)
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.pragma("user_version") == version

    with closing(SqliteStore(path)) as store:
        assert store.events() == [*reversed(made)]
        assert [d.blocked for d in store.deliveries()] == [False, False, True, False]
        claims = store.claim({"ci": 10}, NOW).result(10)
        assert len(claims) == 3
        [head] = [c for c in claims if c.delivery.id == claim.delivery.id]
        done = Settlement(head.delivery.id, head.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
        assert store.settle([done]).result(10)[0]
        assert not any(d.blocked for d in store.deliveries())
        assert store.depths() == [Depth("ci", due=1, running=2, oldest_at=NOW)]


def test_a_failed_migration_leaves_the_store_at_its_earlier_version(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteStore(path).close()
    version = schema.newest_version()
    steps = ("CREATE TABLE two (x);", "CREATE TABLE three (x); nonsense")
    monkeypatch.setattr(schema, "_MIGRATIONS", (*schema._MIGRATIONS, *steps))

    with pytest.raises(StoreError, match="can't be opened"):
        SqliteStore(path)

    with closing(apsw.Connection(str(path))) as connection:
        assert connection.pragma("user_version") == version + 1
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'three'").get == 0


def test_opening_a_store_restores_wal_mode(path: Path) -> None:
    SqliteStore(path).close()
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode", "delete")

    SqliteStore(path).close()

    with closing(apsw.Connection(str(path))) as connection:
        assert connection.pragma("journal_mode") == "wal"


def test_a_delivery_left_dead_by_a_killed_owner_is_reported_by_the_next(
    path: Path, event: Callable[..., Event], planned_delivery: Callable[..., PlannedDelivery]
) -> None:
    ids = {}
    with closing(SqliteStore(path)) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(10)
        for source, place in (("shop", "/hooks/shop"), (SOURCE, PATH)):
            plan = planned_delivery(source, rule=source)
            ids[source] = plan.id
            store.append(event(source=source, path=place), [plan], "r1").result(10)
    for _ in range(MAX_INTERRUPTIONS):
        with closing(SqliteStore(path)) as store:
            assert store.gathered(NOW) == []
            assert len(store.claim({"shop": 1, SOURCE: 1}, NOW).result(10)) == 2

    with closing(SqliteStore(path)) as store:
        assert {one.state for one in store.deliveries()} == {State.DEAD}
        [gathered] = store.gathered(NOW)  # a dead delivery of an own event makes no notice

    assert (gathered.kind, gathered.subject, gathered.count) == ("delivery.dead", "shop/forward", 1)
    facts = orjson.loads(gathered.last)
    assert facts["delivery"]["id"] == ids["shop"]
    assert facts["delivery"]["error"].startswith("interrupted 3 times in a row")
    assert facts["event"]["source"] == "shop"
