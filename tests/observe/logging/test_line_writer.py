"""Log lines are written whole and in order. A stream that nobody reads blocks no thread."""

import errno
import io
import json
import os
import threading
from typing import Any

import pytest

from router.observe.logging import line_writer as log_lines
from router.observe.logging.line_writer import Lines
from tests.conftest import until


def test_lines_of_many_threads_stay_whole_and_in_order() -> None:
    stream = io.BytesIO()
    lines = Lines(stream)

    def speak(name: int) -> None:
        for number in range(500):
            (lines.warning if number % 50 == 0 else lines.info)(b"%d %d" % (name, number))

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines.end()

    heard = [tuple(map(int, line.split())) for line in stream.getvalue().splitlines()]
    assert len(heard) == 2000
    for name in range(4):
        assert [number for who, number in heard if who == name] == list(range(500))


def test_a_line_is_written_without_waiting_for_the_next() -> None:
    stream = io.BytesIO()
    lines = Lines(stream)

    lines.info(b"hello")

    until(stream.getvalue)
    assert stream.getvalue() == b"hello\n"
    lines.end()


def test_a_blocked_stream_drops_lines_and_reports_how_many() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as stream:
        lines = Lines(stream)
        said = 0
        while lines.lost < 100:
            assert said < 3 * log_lines.MAX_WAITING
            lines.info(b"%0100d" % said)
            said += 1

        found: list[bytes] = []

        def read() -> None:
            with os.fdopen(reading, "rb") as pipe:
                found.extend(pipe)

        reader = threading.Thread(target=read)
        reader.start()
        lines.end()
        until(lambda: not lines._thread.is_alive())
    reader.join(30)

    [word] = [line for line in found if b"log lines lost" in line]
    assert json.loads(word)["lines"] == 100
    assert len(found) - 1 + 100 == said


def test_logging_to_a_closed_stream_does_not_fail() -> None:
    stream = io.BytesIO()
    stream.close()
    lines = Lines(stream)

    lines.warning(b"nobody hears this")
    lines.end()

    assert not lines._thread.is_alive()


class Disk(io.RawIOBase):
    """A file on a disk with room for `room` bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.content = b""

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = bytes(data[: self.room])
        self.content += taken
        self.room -= len(taken)
        return len(taken)


@pytest.mark.parametrize("room", range(1, 24))
def test_lines_lost_on_a_full_disk_are_reported_and_later_lines_are_whole(room: int) -> None:
    disk = Disk(room)
    lines = Lines(disk)  # type: ignore[arg-type]
    for number in range(5):
        lines.warning(b"line %d" % number)
    fit = (room + 1) // len("line 0\n")  # a line that lacks only its line break gets it later
    until(lambda: lines.lost == 5 - fit)

    disk.room = 1000
    lines.warning(b"line 5")
    lines.end()

    *found, word = disk.content.splitlines()
    whole = [line for line in found if len(line) == len("line 0")]
    assert whole == [*(b"line %d" % number for number in range(fit)), b"line 5"]
    assert len(found) - len(whole) == (0 < room % len("line 0\n") < len("line 0"))  # the torn line
    assert json.loads(word)["lines"] == lines.lost == 5 - fit


def test_a_torn_line_is_ended_after_repeated_write_errors() -> None:
    disk = Disk(10)
    lines = Lines(disk)  # type: ignore[arg-type]
    lines.warning(b"line 0")
    until(lambda: disk.room == 3)
    lines.warning(b"line 1")
    until(lambda: lines.lost == 1)
    lines.warning(b"line 2")
    until(lambda: lines.lost == 2)

    disk.room = 1000
    lines.warning(b"line 5")
    lines.end()

    assert disk.content.splitlines()[:3] == [b"line 0", b"lin", b"line 5"]


def test_the_writer_waits_for_a_nonblocking_stream() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "wb", buffering=0) as stream, os.fdopen(reading, "rb") as pipe:
        lines = Lines(stream)
        for number in range(3000):
            lines.info(b"%0100d" % number)
        reader = threading.Thread(target=lambda: found.extend(pipe.readline() for _ in range(3000)))
        found: list[bytes] = []
        reader.start()
        reader.join(60)
        lines.end()

    assert [int(line) for line in found] == list(range(3000))
    assert lines.lost == 0
