"""A backup is complete, private and consistent, never overwrites a file, and can be made beside a running daemon."""

import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from router.domain.deliveries import PlannedDelivery
from router.domain.errors import StoreError
from router.domain.events import Event
from router.store.sqlite.backup import backup
from router.store.sqlite.check import check
from router.store.sqlite.store import SqliteStore

MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def quiet(_: int, __: int) -> None:
    """Ignore the progress."""


def test_a_backup_is_a_complete_store(
    sqlite_store: SqliteStore, path: Path, tmp_path: Path, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(20):
        sqlite_store.append(event(), [planned_delivery()], "r1").result(10)
    copy = tmp_path / "copy.db"

    size = backup(path, copy, quiet)

    assert size == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir() if "copy" in one.name) == ["copy.db"]
    assert all(not finding.broken for finding in check(copy))
    with closing(SqliteStore(copy)) as restored:
        assert restored.events(limit=99) == sqlite_store.events(limit=99)
        assert restored.deliveries() == sqlite_store.deliveries()
        assert len(restored.claim({"ci": 50}, 2**42).result(10)) == 20


def test_a_backup_during_writes_is_consistent(
    sqlite_store: SqliteStore,
    path: Path,
    tmp_path: Path,
    event: MakeEvent,
    planned_delivery: MakePlan,
) -> None:
    for _ in range(300):
        sqlite_store.append(event(body=b"x" * 5000), [planned_delivery()], "r1").result(10)
    steps: list[int] = []
    written: list[str] = []

    def write_between(done: int, _: int) -> None:
        """Commit by the store's owner between two steps of the backup."""
        steps.append(done)
        one = event(body=b"y" * 5000)
        sqlite_store.append(one, [planned_delivery()], "r1").result(10)
        written.append(one.id)

    backup(path, tmp_path / "copy.db", write_between, pages=8)

    assert len(steps) > 40
    assert steps == sorted(set(steps))  # the backup never started over
    with closing(SqliteStore(tmp_path / "copy.db")) as restored:
        found = restored.events(limit=9999)
        assert len(found) == 300
        assert len(restored.deliveries(limit=9999)) == 300
    assert len(sqlite_store.events(limit=9999)) == 300 + len(written)


def test_a_backup_never_overwrites_a_file(sqlite_store: SqliteStore, path: Path, tmp_path: Path) -> None:
    taken = tmp_path / "copy.db"
    taken.write_text("mine")
    (tmp_path / "dangling.db").symlink_to(tmp_path / "nowhere" / "x")

    with pytest.raises(StoreError, match="exists already"):
        backup(path, taken, quiet)
    with pytest.raises(StoreError):
        backup(path, tmp_path / "dangling.db", quiet)
    with pytest.raises(StoreError, match="exists already"):
        backup(path, path, quiet)
    assert taken.read_text() == "mine"


def test_a_file_created_during_the_backup_is_not_overwritten(
    sqlite_store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"

    def take(_: int, __: int) -> None:
        copy.write_text("mine")

    with pytest.raises(StoreError, match="exists by now"):
        backup(path, copy, take)
    assert copy.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_a_failed_backup_leaves_no_file(sqlite_store: SqliteStore, path: Path, tmp_path: Path) -> None:
    def fail(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(path, tmp_path / "copy.db", fail)
    with pytest.raises(StoreError, match="No such file or directory; its folder must exist"):
        backup(path, tmp_path / "nowhere" / "copy.db", quiet)
    with pytest.raises(StoreError, match="there is no store"):
        backup(tmp_path / "none.db", tmp_path / "copy.db", quiet)

    assert not [one.name for one in tmp_path.iterdir() if "copy" in one.name or "none" in one.name]


def test_a_backup_does_not_own_the_store(sqlite_store: SqliteStore, path: Path, tmp_path: Path) -> None:
    sqlite_store.close()
    threads = threading.active_count()

    backup(path, tmp_path / "copy.db", quiet)

    assert threading.active_count() == threads
    with closing(SqliteStore(path)):
        assert (tmp_path / "copy.db").exists()


def test_a_backup_on_a_full_disk_says_that_the_disk_is_full(
    sqlite_store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    """A limit on the size of the process's files stands for the full disk."""
    script = (
        "import pathlib, resource, sys\n"
        "from router.store.sqlite.backup import backup\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "backup(*map(pathlib.Path, sys.argv[1:]), lambda done, of: None)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, path, tmp_path / "copy.db"], capture_output=True, text=True, check=False
    )

    assert "copy.db can't be written: its disk is full, or fails (IOError); nothing is left of it" in done.stderr
    assert not [one.name for one in tmp_path.iterdir() if "copy" in one.name]
