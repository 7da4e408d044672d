"""A real pgbouncer in transaction mode, if it is installed (Debian: apt-get install pgbouncer)."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from tests.free_port import free_port
from tests.postgres import PATIENCE_SECONDS, Server

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
_INI = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
"""


class PgBouncer:
    """Listens on loopback for clients of all databases of a server. It refuses to run as root."""

    def __init__(self, server: Server) -> None:
        assert PGBOUNCER is not None
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="wr-pgbouncer-"))
        ini = self._folder / "pgbouncer.ini"
        ini.write_text(_INI.format(server=server.port, port=self.port))
        user = server.user or None
        if user:
            found = pwd.getpwnam(user)
            for path in (self._folder, ini):
                os.chown(path, found.pw_uid, found.pw_gid)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [PGBOUNCER, ini],
                user=user,
                extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def close(self) -> None:
        """Stop pgbouncer and cut all connections."""
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)
        shutil.rmtree(self._folder)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres").close()
            except psycopg.OperationalError:
                ended = self._process.poll() is not None or time.monotonic() > deadline
                assert not ended, (self._folder / "log").read_text()
                time.sleep(0.02)
            else:
                return
