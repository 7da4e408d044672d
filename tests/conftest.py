"""Starts real daemons in processes of their own, runs real receivers, and waits for conditions."""

import contextlib
import gc
import http.client
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from router.cli.main import main
from router.domain import ids
from tests.memory_folder import memory_folder
from tests.preloaded import Forked, Preloaded, read_at_start

pytest_plugins = ["tests.postgres"]

PROGRAM = str(Path(sys.executable).with_name("webhook-router"))
PATIENCE_SECONDS = 60.0  #: how long a test waits for a condition; long, so that a slow machine makes a test only slower

# structlog's default output, but without the values of all variables, whose output takes a second.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# Otherwise each of the hundreds of processes of the tests would compile the program again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

THOROUGH = int(os.environ.get("WEBHOOK_ROUTER_TEST_EXAMPLES", "1"))  #: factor of generated examples
#: The share of the generated examples that are tried, like the profiles of hypothesis. .ci/run tries all.
SHARE = 1.0 if "WEBHOOK_ROUTER_CI" in os.environ or THOROUGH > 1 else 0.4


def number_of_examples(count: int) -> int:
    """`count` examples in .ci/run, a multiple in a long run, and a part of them with the README's test command."""
    return max(4, int(count * THOROUGH * SHARE))


def examples(count: int) -> settings:
    """Settings for so many generated examples. A long run tries new ones each time."""
    return settings(max_examples=number_of_examples(count), derandomize=THOROUGH == 1)


# No deadline, since the time of an example depends on the load. The same examples in each run, to repeat failures.
settings.register_profile(
    "any machine",
    max_examples=number_of_examples(50),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Put temporary folders in memory, and share the compilation of the tests among the workers.

    Otherwise each worker would compile all tests at the same time.
    """
    if memory := memory_folder():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        number, workers = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        root = Path(__file__).parents[1]
        for path in sorted(root.glob("tests/**/test_*.py"))[number::workers]:
            with contextlib.suppress(Exception):  # the collection imports the module again and reports the error
                importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Exclude the collected tests from garbage collection, since they live until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


#: Folders whose tests start processes, servers or clocks. These tests wait most of the time.
_WAITING = ("tests/acceptance/", "tests/daemon/", "tests/delivery/", "tests/store/postgres/", "tests/rules/reload/")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every second worker begin with the tests that wait, while the others use the CPU.

    Each worker begins with an equal part of the list (`--dist worksteal`). When its part is done, it takes tests from
    the ends of the other parts. So the tests at the ends are short, and all workers finish at about the same time.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    waiting: list[pytest.Item] = []
    busy: list[pytest.Item] = []
    for item in items:
        (waiting if item.nodeid.startswith(_WAITING) else busy).append(item)
    size = len(items) // workers
    parts = (workers + 1) // 2
    if workers == 1 or len(waiting) > parts * size:
        return
    modules = list(dict.fromkeys(item.path for item in waiting))
    first = [[item for item in waiting if item.path in modules[number::parts]] for number in range(parts)]
    items.clear()
    for number in range(workers):
        mine = first[number // 2] if number % 2 == 0 else []
        count = max(0, size - len(mine)) if number < workers - 1 else len(busy)
        items += mine + busy[:count]
        del busy[:count]


Line = dict[str, Any]


@contextlib.contextmanager
def signals_reach_children() -> Iterator[None]:
    """Let child processes start with the default action for each signal, whatever this process inherited.

    A child inherits ignored and blocked signals: SIGINT in the background of a script, SIGHUP below nohup. With a handler
    in place the child starts with the default action, and this process still ignores the signal. Python ignores SIGPIPE
    and SIGXFSZ, and subprocess restores them.
    """
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ignored = [
        number
        for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}
        if signal.getsignal(number) is signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, _ignore)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@pytest.fixture(scope="session", autouse=True)
def _started_anywhere() -> Iterator[None]:
    """Make the tests pass in the background of a script."""
    with signals_reach_children():
        yield


def _ignore(_: int, __: FrameType | None) -> None:
    """Do nothing."""


@dataclass
class Answer:
    """The daemon's answer to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


_preloaded: list[Preloaded] = []


def preloaded() -> Preloaded:
    """The server that starts the program for the tests of this process. The first call starts it."""
    if not _preloaded:
        _preloaded.append(Preloaded(PROGRAM))
    return _preloaded[0]


def forked_program() -> str:
    """The path of a program like webhook-router that starts without the second of CPU time for imports.

    Tests of what a new process inherits use PROGRAM.
    """
    return str(preloaded().shim)


@pytest.fixture(autouse=True)
def _ids_of_the_tests_own_time() -> None:
    """Let each test make ids with its own times. Otherwise an id is never earlier than the last one of its process."""
    ids._last = 0


@pytest.fixture(scope="session", autouse=True)
def _stop_preloaded(_started_anywhere: None) -> Iterator[None]:
    yield
    while _preloaded:
        _preloaded.pop().stop()


def changed(environment: Mapping[str, str]) -> set[str]:
    """The variables that differ from those of this process."""
    return {name for name, value in environment.items() if os.environ.get(name) != value}


class Daemon:
    """A `webhook-router serve` process and its log."""

    def __init__(
        self,
        folder: Path,
        rules: Path,
        *,
        flags: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        program: tuple[str, ...] = (),
    ):
        """Start the daemon. `program` replaces the command line.

        Python, `-c` and code are forked. Any other program starts an interpreter, which takes a second of CPU time.
        """
        self.rules = rules
        self.store = folder / "webhook-router.db"
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        arguments = ["serve", str(rules), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        arguments += ["--store", f"sqlite:{self.store}", "--log-format", "json", *flags]
        log, write = self._open_log()
        self._log = os.fdopen(log, "rb")
        try:
            self.process = self._start(arguments, folder, env or {}, program, write)
        finally:
            os.close(write)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        serving = self.wait_for_line("serving")
        self.port = int(serving["listen"].rpartition(":")[2])
        self.admin_port = int(serving["admin"].rpartition(":")[2])

    def _open_log(self) -> tuple[int, int]:
        """Two descriptors: the first one to read the log, the second one for the daemon to write it."""
        return os.pipe()

    def _start(
        self, arguments: list[str], folder: Path, env: Mapping[str, str], program: tuple[str, ...], log: int
    ) -> Forked | subprocess.Popen[bytes]:
        environment = {**os.environ, **env}
        if (not program or program[:2] == (sys.executable, "-c")) and not read_at_start(changed(env)):
            return preloaded().start(arguments, folder, environment, log, program)
        return subprocess.Popen(
            [*(program or (PROGRAM,)), *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    def _read(self) -> None:
        for raw in self._log:
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"message": "not JSON", "raw": raw.decode(errors="replace")}
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for_line(self, message: str, after: int = 0, **fields: Any) -> Line:
        """Wait for the first log line from number `after` on with this message and these fields."""

        def found() -> Line | None:
            for line in self.lines[after:]:
                if line.get("message") == message and all(line.get(key) == value for key, value in fields.items()):
                    return line
            return None

        with self._changed:
            ended = self._changed.wait_for(lambda: found() or self.process.poll() is not None, PATIENCE_SECONDS)
            line = found()
        assert ended and line, f"no line {message!r} {fields} in:\n" + "\n".join(map(str, self.lines[after:]))
        return line

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST") -> Answer:
        """Send one request to the intake."""
        return request(self.port, method, path, body, headers)

    def admin(self, path: str) -> Answer:
        """Send a GET request to the admin listener."""
        return request(self.admin_port, "GET", path)

    def kill(self) -> None:
        """Send SIGKILL unless the process has ended, and wait for its end."""
        self.process.kill()
        self._wait_for_end()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the daemon as a service manager does. Return the exit code."""
        self.process.send_signal(number)
        return self._wait_for_end()

    def _wait_for_end(self) -> int:
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        self._log.close()
        return code


def request(port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """Send one request on its own connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


@dataclass
class Received:
    """A request that reached the receiver."""

    path: str
    headers: dict[str, str]  #: names in lower case
    body: bytes
    at: float = field(default_factory=time.monotonic)


@dataclass
class Receiver:
    """An HTTP server as a target, which records its requests."""

    requests: list[Received] = field(default_factory=list)
    status: int = 200  #: the status of every answer
    answer: bytes = b""  #: the body of every answer
    release: threading.Event = field(default_factory=threading.Event)  #: requests to /hang wait until it is set
    answering: threading.Event = field(default_factory=threading.Event)  #: all answers wait while it is unset
    at_once: int = 0  #: number of requests without an answer yet
    most_at_once: int = 0  #: the largest `at_once` so far; a test may set it to 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Listen on a free port."""
        receiver = self
        self.answering.set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.begin(Received(self.path, headers, body))
                if self.path.startswith("/hang"):
                    receiver.release.wait(PATIENCE_SECONDS)
                receiver.answering.wait(PATIENCE_SECONDS)
                receiver.end()
                self.send_response(receiver.status)
                self.send_header("Content-Length", str(len(receiver.answer)))
                self.end_headers()
                self.wfile.write(receiver.answer)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                """Ignore connections that a killed client closed."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self.release.set()
        self.answering.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def begin(self, request: Received) -> None:
        """Note the arrival of a request."""
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.requests.append(request)

    def end(self) -> None:
        """Note the answer to a request."""
        with self._lock:
            self.at_once -= 1

    def ids(self, path: str = "") -> list[str]:
        """The event ids of the requests, one for each request."""
        return [request.headers["webhook-id"] for request in list(self.requests) if request.path.startswith(path)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    receiver = Receiver()
    receiver.start()
    yield receiver
    receiver.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Return a function that starts a daemon with a rules text. Daemons that still run at the end are killed."""
    daemons: list[Daemon] = []

    def begin(rules: str | Path, **more: Any) -> Daemon:
        path = rules if isinstance(rules, Path) else tmp_path / "rules.yaml"
        if isinstance(rules, str):
            path.write_text(rules)
        daemon = Daemon(tmp_path, path, **more)
        daemons.append(daemon)
        return daemon

    yield begin
    for daemon in daemons:
        daemon.kill()


def until(condition: Callable[[], Any]) -> Any:
    """Wait until the condition is true, and return its value."""
    began = looked = time.monotonic()
    pause = threading.Event()
    while not (result := condition()):
        now = time.monotonic()
        assert now - began < PATIENCE_SECONDS, "the condition did not become true"
        pause.wait(max(0.01, now - looked))  # a slow check must not delay the awaited work
        looked = time.monotonic()
    return result


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Wait until the condition is true, and return its value."""
    return until


def run_in_process(*arguments: str | Path, folder: Path, input: str = "") -> subprocess.CompletedProcess[str]:  # noqa: A002 - as subprocess.run
    """Run the command line in this process and capture its output, which saves the start of a process."""
    out, err = io.StringIO(), io.StringIO()
    ended: int | str | None = None
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(input.encode()))
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(argument) for argument in arguments])
    except SystemExit as end:
        ended = end.code
    finally:
        sys.stdin = before
    return subprocess.CompletedProcess(arguments, int(ended or 0), out.getvalue(), err.getvalue())


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command line to its end.

    The daemon, `--version`, and commands with an environment get a process of their own. All but `--version` are forked
    from a process that has imported the program. Other commands run in this process, since a start takes a second.
    """

    def command(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        if arguments[0] not in ("serve", "--version") and set(more) <= {"cwd"}:
            return run_in_process(*arguments, folder=more.get("cwd", Path.cwd()))
        fast = arguments[0] != "--version" and not read_at_start(changed(more.get("env") or {}))
        return subprocess.run(
            [preloaded().shim if fast else PROGRAM, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            **more,
        )

    return command
