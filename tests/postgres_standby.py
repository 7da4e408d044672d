"""A standby that follows a primary by streaming replication, and faults that an operator meets on a server."""

import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from psycopg import errors

from tests.postgres import PATIENCE_SECONDS, Server

#: of a server that a standby follows
PRIMARY: Mapping[str, str] = {"wal_level": "replica", "max_wal_senders": "4", "wal_keep_size": "64MB"}
_NAME = "standby"


class Standby(Server):
    """A copy of a primary that follows it until `promote`."""

    def __init__(self, primary: Server, settings: Mapping[str, str] = {}, port: int | None = None) -> None:
        """`port`: of what stands between it and the primary."""
        self._conninfo = f"host=127.0.0.1 port={port or primary.port} user=postgres application_name={_NAME}"
        super().__init__({**PRIMARY, "hot_standby": "on", "primary_conninfo": self._conninfo, **settings})

    def start(self, url: str | None = None) -> None:
        """Copy the primary at the first start, and follow it."""
        if not (self.data / "standby.signal").exists():
            self._copy()
        super().start(url)

    def promote(self) -> None:
        """Make it a primary."""
        self.execute("SELECT pg_promote(true, 60)")

    def _copy(self) -> None:
        shutil.rmtree(self.data)
        self.data.mkdir(mode=0o700)
        binary = Path(self._installed.bin_path) / "pg_basebackup"
        subprocess.run(
            [binary, "-D", self.data, "-d", self._conninfo, "--checkpoint=fast", "--no-sync", "--no-manifest"],
            check=True,
            timeout=PATIENCE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        # Not by the option -R: it writes settings of its own libpq, which the server's libpq may not know.
        (self.data / "standby.signal").touch()
        if self.user:
            found = pwd.getpwnam(self.user)
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, found.pw_uid, found.pw_gid, follow_symlinks=False)


def wait_for_standby(primary: Server, *, synchronous: bool) -> None:
    """Have commits wait for the standby, or not."""
    configure(primary, synchronous_standby_names=_NAME if synchronous else "")


def configure(server: Server, **settings: str) -> None:
    """Change settings of a running server."""
    for name, value in settings.items():
        server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    server.execute("SELECT pg_reload_conf()")


LARGEST_FILE = 16 * 2**20  #: bytes; of a server whose disk is to be full soon

# A row takes a page. The server grows the table, until it may not.
_FILL = """
ALTER TABLE webhook_router.event ALTER headers SET STORAGE PLAIN;
INSERT INTO webhook_router.event
    (writer, id, source, method, path, query, headers, body, ip, received_at, dedupe_key, ruleset, matched)
SELECT 0, 'fill' || n, 'fill', 'POST', '/', '', repeat(' ', 7800), '', '', 0, 'fill' || n, 'none', '[]'
FROM generate_series({first}, {last}) AS n
"""


def fill_disk(server: Server, database: str) -> None:
    """Have no room for a further event on a server with LARGEST_FILE."""
    pages = server.execute("SELECT pg_relation_size('webhook_router.event') / 8192", database)[0][0]
    assert isinstance(pages, int)
    most = LARGEST_FILE // 8192 - pages - 5  # senders may take some meanwhile
    server.execute(_FILL.format(first=1, last=most), database)
    with contextlib.suppress(errors.InternalError_):  # File too large
        for number in itertools.count(most + 1):
            server.execute(_FILL.format(first=number, last=number), database)


def make_room(server: Server, database: str) -> None:
    """Take away what `fill_disk` put there."""
    server.execute("DELETE FROM webhook_router.event WHERE source = 'fill'", database)
    server.execute("VACUUM webhook_router.event", database)
