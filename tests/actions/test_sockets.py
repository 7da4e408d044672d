"""Sockets that keep the interpreter's turn behave as Python's own do."""

import socket
import struct
from collections.abc import Iterator

import pytest

from router.actions import sockets
from router.actions.sockets import Socket


@pytest.fixture(params=["kept", "given away"])
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Socket, socket.socket]]:
    """One of ours that never blocks, connected to one of Python's; with the calls by ctypes, and without them."""
    if request.param == "given away":
        monkeypatch.setattr(sockets, "_LIBRARY", None)
    else:
        assert sockets._LIBRARY is not None
    with socket.create_server(("127.0.0.1", 0)) as server, Socket(socket.AF_INET, socket.SOCK_STREAM) as ours:
        ours.connect(server.getsockname())
        ours.setblocking(False)
        other, _ = server.accept()
        with other:
            other.settimeout(10)
            yield ours, other


def test_what_is_sent_arrives(pair: tuple[Socket, socket.socket]) -> None:
    ours, other = pair

    assert ours.send(b"a\0b") == 3
    assert ours.send(memoryview(b"xcx")[1:2]) == 1

    other.shutdown(socket.SHUT_WR)
    ours.shutdown(socket.SHUT_WR)
    assert b"".join(iter(lambda: other.recv(10), b"")) == b"a\0bc"


def test_what_comes_is_received_and_the_end_is_empty(pair: tuple[Socket, socket.socket]) -> None:
    ours, other = pair
    with pytest.raises(BlockingIOError):
        ours.recv(100)

    other.sendall(b"x\0" * 50)
    other.close()

    ours.setblocking(True)  # Python's own way, which waits
    first = ours.recv(30)
    ours.setblocking(False)
    rest = b"".join(iter(lambda: ours.recv(256 * 1024), b""))
    assert first + rest == b"x\0" * 50
    assert len(first) == 30


def test_a_full_socket_takes_a_part_and_then_says_so(pair: tuple[Socket, socket.socket]) -> None:
    ours, _ = pair

    def fill() -> None:
        for _ in range(10_000):
            assert 0 < ours.send(b"x" * 60_000) <= 60_000

    with pytest.raises(BlockingIOError):
        fill()


def test_a_connection_that_was_reset_says_so(pair: tuple[Socket, socket.socket]) -> None:
    ours, other = pair
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()

    with pytest.raises(ConnectionResetError):
        ours.recv(100)
    with pytest.raises(BrokenPipeError):
        ours.send(b"x")
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        ours.send(b"x")
