"""Start the program in a process of its own without the second of processor time that its imports take."""

import _socket
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests import preloaded_client

_SERVER = Path(__file__).with_name("preloaded_server.py")
#: What only the start of an interpreter reads.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_")
#: Passes signals on, and ends as its process does.
_SHIM = """#!{python} -IS
import _signal as signal, os, sys
sys.path.insert(0, {tests!r})
import preloaded_client
PASSED_ON = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until there is a process to pass them on to
connection, _ = preloaded_client.start({path!r}, [{program!r}, *sys.argv[1:]], os.getcwd(), dict(os.environ), [0, 1, 2])
for number in PASSED_ON:
    signal.signal(number, lambda number, _: connection.send(bytes([number])))
signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
code = preloaded_client.read_number(connection)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class Preloaded:
    """The server of this test process."""

    def __init__(self, program: str, path: Path | None = None):
        """Start it; with a folder for the module path, such as one with plugins."""
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="preloaded-")
        self.path = str(Path(self._folder.name) / "socket")  #: where the server listens
        self.shim = Path(self._folder.name) / "webhook-router"  #: a program for a shell
        self.shim.write_text(
            _SHIM.format(python=sys.executable, tests=str(Path(__file__).parent), path=self.path, program=program)
        )
        self.shim.chmod(0o755)
        folders = () if path is None else (path,)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen(256)
            self._server = subprocess.Popen(
                [sys.executable, _SERVER, str(listener.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parents[1], *folders)))},
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def start(
        self,
        arguments: list[str],
        folder: Path,
        environment: Mapping[str, str],
        stderr: int,
        program: Sequence[str] = (),
    ) -> "Forked":
        """A process whose error stream is this descriptor. A program other than the command line: python, -c and code."""
        with Path(os.devnull).open("r+b") as null:
            streams = [null.fileno(), null.fileno(), stderr]
            command = [*(program or (self._program,)), *arguments]
            return Forked(*preloaded_client.start(self.path, command, str(folder), dict(environment), streams))

    def stop(self) -> None:
        """End the server and its processes."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        self._folder.cleanup()


class Forked:
    """A process that the server started; its methods are those of subprocess.Popen."""

    def __init__(self, connection: _socket.socket, pid: int):
        self._connection = connection
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        return self._code(0)

    def wait(self, timeout: float) -> int:
        """Wait for its end."""
        code = self._code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def _code(self, timeout: float) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            self.returncode = preloaded_client.read_number(self._connection)
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def read_at_start(environment: Iterable[str]) -> bool:
    """Whether a process that was started before would miss some of these variables."""
    return any(name.startswith(_READ_AT_START) for name in environment)
