"""The schema's versions, and the migrations from one to the next."""

from importlib.resources import files
from pathlib import Path

import apsw

from router.domain.errors import StoreError

_TABLES = ("attempt", "dedupe", "delivery", "event", "ruleset")


def _script(name: str) -> str:
    return files("router.store.sqlite").joinpath(name).read_text()


#: SQL that migrates version 1, which is schema.sql, to 2, then 2 to 3, and so on
_MIGRATIONS = tuple(_script(f"schema_{number}.sql") for number in range(2, 12))


def newest_version() -> int:
    """The schema version that this program works with."""
    return 1 + len(_MIGRATIONS)


def version_of(connection: apsw.Connection, path: Path) -> int:
    """The schema version, 0 for an empty file. Raises StoreError for another program's database or a newer version."""
    version = int(str(connection.pragma("user_version")))
    tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    # Other programs use user_version too, so the tables are compared as well.
    if tables and not (version > 0 and tables.issuperset(_TABLES)):
        raise StoreError(f"{path} is a database of some other program; give --store another name")
    if version > newest_version():
        raise StoreError(
            f"the store {path} has schema version {version}, this program knows up to {newest_version()}; "
            "use the newer program, or another store"
        )
    return version if tables else 0


def migrate(connection: apsw.Connection, path: Path, version: int) -> None:
    """Migrate a store to the newest version.

    Each step and its version number are one transaction, so after a crash the next start continues from a complete
    version. Raises StoreError, apsw.Error.
    """
    mode = connection.pragma("journal_mode", "wal")  # stored in the file, but a copy made elsewhere may have lost it
    if mode != "wal":
        raise StoreError(f"the store {path} can't use a write-ahead log; put it on a local file system")
    if version == 0:
        version = 1
        _apply(connection, _script("schema.sql"), version)
    for number, step in enumerate(_MIGRATIONS, start=2):
        if version < number:
            _apply(connection, step, number)


def _apply(connection: apsw.Connection, script: str, version: int) -> None:
    with connection:
        connection.execute(script)
        connection.pragma("user_version", version)
