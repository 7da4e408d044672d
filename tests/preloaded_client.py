"""Asks a preloaded server for a process. Every command of a test imports this, so it imports little.

The public modules socket and signal would double the time of the import, and json would triple it.
"""

import _socket
import array
import marshal
import os

SIZE = 4  #: bytes of each number


def start(
    path: str, arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]
) -> tuple[_socket.socket, int]:
    """Start a process by the server at this path. Return its connection and its id."""
    connection = ask(path, arguments, folder, environment, streams)
    return connection, read_number(connection)


def ask(
    path: str, arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]
) -> _socket.socket:
    """Ask the server at this path for a process. Return the connection, on which the answer arrives."""
    umask = os.umask(0o77)
    os.umask(umask)
    text = marshal.dumps([arguments, folder, environment, umask])
    connection = _socket.socket(_socket.AF_UNIX)
    connection.connect(path)
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", streams))
    connection.sendmsg([len(text).to_bytes(SIZE, "big")], [rights])
    connection.sendall(text)
    return connection


def read_number(connection: _socket.socket) -> int:
    """The next number, such as a process id or an exit code."""
    return int.from_bytes(read(connection, SIZE), "big", signed=True)


def read(connection: _socket.socket, size: int) -> bytes:
    """Read `size` bytes."""
    read = b""
    while len(read) < size:
        more = connection.recv(size - len(read))
        if not more:
            raise ConnectionError("the other side has ended")
        read += more
    return read
