"""Files that another user put in place of the daemon's files are refused and stay unchanged."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from router.domain.errors import StoreError
from router.store.sqlite.store import SqliteStore

CONTENT = "what must not be lost\n" * 10


def _link(path: Path, other: Path) -> None:
    path.symlink_to(other)


def _hard_link(path: Path, other: Path) -> None:
    path.hardlink_to(other)


def _pipe(path: Path, other: Path) -> None:
    os.mkfifo(path, 0o600)


def _moved(path: Path, other: Path) -> None:
    other.rename(path)


@pytest.mark.parametrize("plant", [_link, _hard_link, _pipe, _moved])
def test_a_planted_lock_is_refused_and_not_emptied(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    other = tmp_path / "other"
    other.write_text(CONTENT)
    lock = tmp_path / "store.db.lock"
    plant(lock, other)

    with pytest.raises(StoreError, match=r"can't be (trusted|opened)"):
        SqliteStore(tmp_path / "store.db")

    assert plant is _pipe or (other if other.exists() else lock).read_text() == CONTENT
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.db-shm"])
@pytest.mark.parametrize("plant", [_hard_link, _pipe])
def test_a_planted_file_of_the_store_is_refused(tmp_path: Path, name: str, plant: Callable[[Path, Path], None]) -> None:
    (tmp_path / "other").write_text("")
    plant(tmp_path / name, tmp_path / "other")

    with pytest.raises(StoreError, match=rf"{name} can't be trusted: it "):
        SqliteStore(tmp_path / "store.db")

    assert (tmp_path / "other").read_text() == ""


@pytest.mark.parametrize("name", ["store.db-wal", "store.db-shm"])
def test_a_planted_link_beside_the_store_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "other")

    with pytest.raises(StoreError, match=rf"{name} can't be trusted: it is a link"):
        SqliteStore(tmp_path / "store.db")

    assert not (tmp_path / "other").exists()


def test_the_users_own_symlink_to_the_store_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "store.db").symlink_to(tmp_path / "real" / "store.db")

    SqliteStore(tmp_path / "store.db").close()
    SqliteStore(tmp_path / "store.db").close()

    assert (tmp_path / "real" / "store.db").exists()


if os.geteuid() == 0:

    @pytest.mark.parametrize("name", ["store.db", "store.db.lock", "store.db-wal"])
    def test_another_users_file_is_refused(tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        os.chown(tmp_path / name, 12345, -1)

        with pytest.raises(StoreError, match=rf"{name} can't be trusted: it is another user's; chown it to this one"):
            SqliteStore(tmp_path / "store.db")

    def test_another_users_link_to_the_store_is_refused(tmp_path: Path) -> None:
        (tmp_path / "store.db").symlink_to(tmp_path / "other")
        os.chown(tmp_path / "store.db", 12345, -1, follow_symlinks=False)

        with pytest.raises(StoreError, match="a link that another user made"):
            SqliteStore(tmp_path / "store.db")
        assert not (tmp_path / "other").exists()
