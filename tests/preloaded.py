"""Starts the program in a new process without the second of CPU time that its imports take."""

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
#: Variables that only the start of an interpreter reads.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_")
#: Passes signals on to its process, and ends with the same exit code.
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
    """The preloaded server of this test process."""

    def __init__(self, program: str, path: Path | None = None):
        """Start the server. `path`: a folder for the module path, such as one with plugins."""
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="preloaded-")
        self.path = str(Path(self._folder.name) / "socket")  #: the path of the server's socket
        self.shim = Path(self._folder.name) / "webhook-router"  #: an executable that asks the server for a process
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
        """Start a process with this standard error. `program`: python, -c and code, instead of the command line."""
        with Path(os.devnull).open("r+b") as null:
            streams = [null.fileno(), null.fileno(), stderr]
            command = [*(program or (self._program,)), *arguments]
            return Forked(*preloaded_client.start(self.path, command, str(folder), dict(environment), streams))

    def stop(self) -> None:
        """Stop the server and its processes."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        self._folder.cleanup()


class Forked:
    """A process that the server started. It has the methods of subprocess.Popen."""

    def __init__(self, connection: _socket.socket, pid: int):
        self._connection = connection
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while the process runs."""
        return self._code(0)

    def wait(self, timeout: float) -> int:
        """Wait for the end of the process."""
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
        """Send a signal unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL unless the process has ended."""
        self.send_signal(signal.SIGKILL)


def read_at_start(environment: Iterable[str]) -> bool:
    """Whether some of these variables have an effect only at the start of an interpreter."""
    return any(name.startswith(_READ_AT_START) for name in environment)
