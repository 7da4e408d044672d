"""Log lines come whole and in order, and a stream that nobody reads stops nobody."""

import io
import json
import os
import threading

from router import log_lines
from router.log_lines import Lines
from tests.conftest import until


def test_lines_of_many_threads_come_whole_and_each_thread_s_in_order() -> None:
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


def test_a_line_appears_without_a_further_one() -> None:
    stream = io.BytesIO()
    lines = Lines(stream)

    lines.info(b"hello")

    until(stream.getvalue)
    assert stream.getvalue() == b"hello\n"
    lines.end()


def test_a_stream_that_nobody_reads_stops_nobody_and_what_was_lost_is_said() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream:
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


def test_a_closed_stream_ends_nothing() -> None:
    stream = io.BytesIO()
    stream.close()
    lines = Lines(stream)

    lines.warning(b"nobody hears this")
    lines.end()

    assert not lines._thread.is_alive()
