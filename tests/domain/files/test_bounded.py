"""Files that an operator names are read only if they are regular, without blocking, and up to a limit."""

import os
import socket
import threading
from pathlib import Path

import pytest

from router.domain.files.bounded import Unreadable, read_file

MOST = 1000


def _reason(path: Path, *, pipes: bool = False) -> str:
    with pytest.raises(Unreadable) as caught:
        read_file(path, MOST, pipes=pipes)
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 1, MOST])
def test_a_regular_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)

    assert read_file(tmp_path / "file", MOST) == b"x" * size


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")

    assert read_file(tmp_path / "link", MOST) == b"text"


def test_a_too_large_file_is_refused_whatever_its_reported_size(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)

    assert "larger than 0 KiB" in _reason(tmp_path / "sparse")
    assert "larger than 0 KiB" in _reason(Path("/proc/self/smaps"))  # its reported size is 0


def test_a_file_that_is_not_regular_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))

        assert "named pipe, and only a regular file is read; write its content" in _reason(tmp_path / "pipe")
        assert "a socket" in _reason(tmp_path / "socket")
    assert "a device" in _reason(Path("/dev/zero"))
    assert "a device" in _reason(Path("/dev/null"))
    assert _reason(tmp_path) == "Is a directory"
    assert _reason(tmp_path / "none") == "No such file or directory"
    assert "not a file name" in _reason(Path("a\0b"))


def test_the_check_does_not_open_a_named_pipe(tmp_path: Path) -> None:
    """Opening the pipe for a moment would let its writer begin, and then end it by SIGPIPE."""
    os.mkfifo(tmp_path / "pipe")
    opened = threading.Event()

    def write() -> None:
        with (tmp_path / "pipe").open("wb"):
            opened.set()

    writer = threading.Thread(target=write)
    writer.start()
    _reason(tmp_path / "pipe")
    assert not opened.wait(0.2)

    (tmp_path / "pipe").open("rb").close()
    writer.join(60)
    assert opened.is_set()


def test_a_pipe_of_the_shell_is_read_where_pipes_are_allowed() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"text")
    os.close(writing)
    path = Path(f"/dev/fd/{reading}")

    assert "named pipe" in _reason(path)
    assert read_file(path, MOST, pipes=True) == b"text"
    os.close(reading)


def test_a_pipe_of_the_shell_has_a_size_limit() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x" * (MOST + 1))

    assert "larger" in _reason(Path(f"/dev/fd/{reading}"), pipes=True)
    os.close(reading)
    os.close(writing)


def test_a_named_pipe_does_not_count_as_a_pipe_of_the_shell(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert "named pipe" in _reason(tmp_path / "pipe", pipes=True)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (tmp_path, tmp_path / "none", Path("/dev/zero"), Path("/proc/self/mem")):
        _reason(path)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
