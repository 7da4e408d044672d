"""A standby that follows a primary by streaming replication, and faults that an operator meets on a server."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.postgres import PATIENCE_SECONDS, Server

#: of a server that a standby follows
PRIMARY: Mapping[str, str] = {"wal_level": "replica", "max_wal_senders": "4", "wal_keep_size": "64MB"}
_NAME = "standby"


class Standby(Server):
    """A copy of a primary that follows it until `promote`."""

    def __init__(self, primary: Server, settings: Mapping[str, str] = {}) -> None:
        self._primary = primary
        super().__init__({**PRIMARY, "hot_standby": "on", **settings})

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
        conninfo = f"host=127.0.0.1 port={self._primary.port} user=postgres application_name={_NAME}"
        binary = Path(self._installed.bin_path) / "pg_basebackup"
        subprocess.run(
            [binary, "-D", self.data, "-d", conninfo, "-R", "--checkpoint=fast", "--no-sync", "--no-manifest"],
            check=True,
            timeout=PATIENCE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        if self._user:
            found = pwd.getpwnam(self._user)
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


#: What a client sees while the server's disk is full: SQLSTATE 53100. No mount is needed, so it holds on every machine.
FULL_DISK = """
CREATE OR REPLACE FUNCTION webhook_router.full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON webhook_router.event
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_router.full_disk();
CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON webhook_router.delivery
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_router.full_disk();
"""
ROOM_AGAIN = "DROP FUNCTION webhook_router.full_disk() CASCADE"
