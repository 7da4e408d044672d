"""A process that has imported the program and forks for each start, since imports take most of the time of a start.

Each connection to its socket starts one process. A request names arguments, folder, environment and umask, and brings the
three standard streams. The answer is the process id, and at the end the exit code, negative for a signal. A byte in
between is the number of a signal to send. A process is killed when its connection or the server's input closes.
"""

import asyncio
import atexit
import contextlib
import gc
import marshal
import os
import select
import signal
import socket
import sys
import threading
from typing import NoReturn

from tests import preloaded_client

_SIZE = preloaded_client.SIZE


class Server:
    """The loop that forks."""

    def __init__(self, listener: socket.socket):
        self._listener = listener
        self._started: dict[socket.socket, int] = {}  #: by connection: its process
        self._ends: dict[int, socket.socket] = {}  #: by process descriptor: its connection

    def run(self) -> bool:
        """Serve. Returns True in each started process, and False at the end of the input."""
        while True:
            ready, _, _ = select.select([sys.stdin, self._listener, *self._started, *self._ends], [], [])
            if sys.stdin in ready:
                self._kill_all()
                return False
            if self._listener in ready and self._start():
                return True
            for connection in [one for one in self._started if one in ready]:
                self._pass_signal(connection)
            for end in [one for one in self._ends if one in ready]:
                self._report_end(end)

    def _start(self) -> bool:
        connection, _ = self._listener.accept()
        streams: list[int] = []
        try:
            size, streams, _, _ = socket.recv_fds(connection, _SIZE, 3)
            request = marshal.loads(preloaded_client.read(connection, int.from_bytes(size, "big")))
        except (OSError, ValueError, EOFError):  # the test ended while this process was still importing
            for stream in streams:
                os.close(stream)
            connection.close()
            return False
        pid = os.fork()
        if pid == 0:
            for one in (self._listener, connection, *self._started):
                one.close()
            _take_over(streams, *request)
            return True
        for stream in streams:
            os.close(stream)
        self._started[connection] = pid
        self._ends[os.pidfd_open(pid)] = connection
        with contextlib.suppress(OSError):  # the caller has ended; the process is killed when that end is read
            connection.sendall(pid.to_bytes(_SIZE, "big"))
        return False

    def _pass_signal(self, connection: socket.socket) -> None:
        try:
            number = connection.recv(1)
        except OSError:
            number = b""
        os.kill(self._started[connection], number[0] if number else signal.SIGKILL)

    def _report_end(self, end: int) -> None:
        connection = self._ends.pop(end)
        os.close(end)
        _, status = os.waitpid(self._started.pop(connection), 0)
        try:
            connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(_SIZE, "big", signed=True))
        except OSError:
            pass  # the caller has ended
        connection.close()

    def _kill_all(self) -> None:
        for pid in self._started.values():
            os.kill(pid, signal.SIGKILL)


def _take_over(streams: list[int], arguments: list[str], folder: str, environment: dict[str, str], umask: int) -> None:
    """Become the requested process."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", closefd=False, buffering=1 if os.isatty(1) else -1)
    sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")


def _import_everything() -> None:
    import importlib
    import pkgutil

    import router

    for module in pkgutil.walk_packages(router.__path__, "router."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("uvloop")
    importlib.import_module("encodings.idna")
    importlib.import_module("mimetypes").init()  # Falcon would read the system's list in each process


async def _check_the_client() -> None:
    """Check aiohttp as the first client of each daemon would; all processes forked from this one rely on it."""
    from router.client.client import open_client

    async with open_client():
        pass


def _run_program() -> NoReturn:
    """Run the command line, or the code after `-c`, and end as an interpreter does, except that it leaves its modules as they are.

    Removing them would copy all memory that the fork shares, and cost more than most commands.
    """
    code: str | int | None = None
    try:
        if sys.argv[1:2] == ["-c"]:
            text = sys.argv[2]
            sys.argv = sys.argv[2:]
            exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})
        else:
            from router.cli.main import main as command_line

            command_line(sys.argv[1:])
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        os._exit(120)
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Serve the listening socket whose descriptor is the argument. In a started process, run its program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it were ignored, the kernel would keep no exit codes
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # after Ctrl-C the tests end, and with them the input of this process
    _import_everything()
    asyncio.run(_check_the_client())
    gc.freeze()
    if Server(socket.socket(fileno=int(sys.argv[1]))).run():
        _run_program()


if __name__ == "__main__":
    main()
