"""A standby that follows a primary by streaming replication, and faults of a server."""

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

#: settings of a server that a standby follows
PRIMARY: Mapping[str, str] = {"wal_level": "replica", "max_wal_senders": "4", "wal_keep_size": "64MB"}
_NAME = "standby"


class Standby(Server):
    """A server that follows a primary until `promote`."""

    def __init__(self, primary: Server, settings: Mapping[str, str] = {}, port: int | None = None) -> None:
        """`port`: the port of a proxy before the primary."""
        self._conninfo = f"host=127.0.0.1 port={port or primary.port} user=postgres application_name={_NAME}"
        super().__init__({**PRIMARY, "hot_standby": "on", "primary_conninfo": self._conninfo, **settings})

    def start(self, url: str | None = None) -> None:
        """Copy the primary at the first start, then follow it."""
        if not (self.data / "standby.signal").exists():
            self._copy()
        super().start(url)

    def promote(self) -> None:
        """Make the standby a primary."""
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
        # Without the option -R, since it writes settings that the server's libpq may not know.
        (self.data / "standby.signal").touch()
        if self.user:
            found = pwd.getpwnam(self.user)
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, found.pw_uid, found.pw_gid, follow_symlinks=False)


def wait_for_standby(primary: Server, *, synchronous: bool) -> None:
    """Set whether commits wait for the standby."""
    configure(primary, synchronous_standby_names=_NAME if synchronous else "")


def configure(server: Server, **settings: str) -> None:
    """Change settings of a running server."""
    for name, value in settings.items():
        server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    server.execute("SELECT pg_reload_conf()")


LARGEST_FILE = 16 * 2**20  #: bytes; for a server whose disk should become full soon

# A row takes a page. The server extends the table until it reaches the limit.
_FILL = """
ALTER TABLE webhook_router.event ALTER headers SET STORAGE PLAIN;
INSERT INTO webhook_router.event
    (writer, id, source, method, path, query, headers, body, ip, received_at, dedupe_key, ruleset, matched)
SELECT 0, 'fill' || n, 'fill', 'POST', '/', '', repeat(' ', 7800), '', '', 0, 'fill' || n, 'none', '[]'
FROM generate_series({first}, {last}) AS n
"""


def fill_disk(server: Server, database: str) -> None:
    """Fill a server with LARGEST_FILE until it has no space for another event."""
    pages = server.execute("SELECT pg_relation_size('webhook_router.event') / 8192", database)[0][0]
    assert isinstance(pages, int)
    most = LARGEST_FILE // 8192 - pages - 5  # events of senders may take some space meanwhile
    server.execute(_FILL.format(first=1, last=most), database)
    with contextlib.suppress(errors.InternalError_):  # File too large
        for number in itertools.count(most + 1):
            server.execute(_FILL.format(first=number, last=number), database)


def make_room(server: Server, database: str) -> None:
    """Remove the rows of `fill_disk`."""
    server.execute("DELETE FROM webhook_router.event WHERE source = 'fill'", database)
    server.execute("VACUUM webhook_router.event", database)
