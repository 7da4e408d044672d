"""Inotify events tell whether a program is writing to a file."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.rules.reload.open_writers import OpenWriters

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has inotify")


@pytest.fixture
def writers() -> Iterator[OpenWriters]:
    """A watch of no files yet."""
    writers = OpenWriters()
    yield writers
    writers.close()


@pytest.fixture
def path(tmp_path: Path, writers: OpenWriters) -> Path:
    """A watched file."""
    path = tmp_path / "rules.yaml"
    path.write_text("one")
    writers.update([path])
    return path


def test_a_file_without_writes_has_no_writer(writers: OpenWriters, path: Path) -> None:
    assert writers.writes(path) is None


@pytest.mark.parametrize("mode", ["w", "r+", "a"])
def test_a_file_has_a_writer_from_the_first_change_until_the_close(writers: OpenWriters, path: Path, mode: str) -> None:
    with path.open(mode) as file:
        file.write("more")
        file.flush()
        writers.update([path])
        assert writers.writes(path) is True

    writers.update([path])
    assert writers.writes(path) is False


def test_a_finished_write_does_not_hide_the_next(writers: OpenWriters, path: Path) -> None:
    path.write_text("two")
    writers.update([path])
    assert writers.writes(path) is False

    writers.note_read()

    assert writers.writes(path) is None
    with path.open("a") as file:
        file.write("x")
        file.flush()
        writers.update([path])
        writers.note_read()
        assert writers.writes(path) is True  # a writer that has the file open still counts


def test_a_truncation_is_a_change(writers: OpenWriters, path: Path) -> None:
    with path.open("w"):
        writers.update([path])
        assert writers.writes(path) is True


def test_a_file_that_replaces_another_starts_without_a_writer(writers: OpenWriters, path: Path, tmp_path: Path) -> None:
    with path.open("a") as old:
        old.write("more")
        old.flush()
        writers.update([path])
        assert writers.writes(path) is True
        (tmp_path / "new").write_text("two")
        (tmp_path / "new").replace(path)

        writers.update([path])

        assert writers.writes(path) is None
    with path.open("a") as new:
        new.write("x")
        new.flush()
        writers.update([path])
        assert writers.writes(path) is True


def test_missing_files_are_ignored(writers: OpenWriters, path: Path, tmp_path: Path) -> None:
    path.unlink()

    for _ in range(2):
        writers.update([path, tmp_path / "none", tmp_path / "\0", tmp_path / "\ud800"])

    assert writers.writes(path) is None
    path.write_text("back")
    writers.update([path])
    with path.open("a") as file:
        file.write("x")
        file.flush()
        writers.update([path])
        assert writers.writes(path) is True


def test_a_writer_is_found_through_a_symlink(writers: OpenWriters, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to("rules.yaml")
    writers.update([path, link])

    with path.open("a") as file:
        file.write("x")
        file.flush()
        writers.update([path, link])
        assert (writers.writes(link), writers.writes(path)) == (True, True)


def test_the_writers_are_unknown_after_an_overflow_of_events(writers: OpenWriters, path: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    other = path.with_name("other")
    other.write_text("")
    writers.update([path, other])
    with path.open("a") as one, other.open("a") as two:
        for _ in range(most // 2 + 10):  # in turns, since the kernel merges equal events
            os.write(one.fileno(), b"x")
            os.write(two.fileno(), b"x")
        for _ in range(10):
            writers.update([path, other])
        assert writers.writes(path) in (True, None)


def test_watching_leaves_no_descriptor_open(path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        writers = OpenWriters()
        writers.update([path])
        writers.close()
        writers.update([path])
        assert writers.writes(path) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before
