"""A store in one SQLite file, as the source or the target of a copy."""

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw

from router.domain.errors import StoreError
from router.store.copying.rows import LastNumbers, Row
from router.store.sqlite.backup import check_copy, name_copy
from router.store.sqlite.connection import cause_of, connect
from router.store.sqlite.jobs import last_claims
from router.store.sqlite.opening import check_existing, lock_store
from router.store.sqlite.pieces import is_large, pieces_of, read_body
from router.store.sqlite.schema import migrate

_AT_ONCE = 1000  #: rows in one call
_MODE = 0o600  #: only for the owner: events hold customers' data
_KEPT_TO_ITSELF = {"ruleset": {"id"}, "delivery": {"token"}, "event": {"size"}}
_ORDER = {"event": "seq", "delivery": "seq", "hold": "seq", "ruleset": "id"}
_LAST_CLAIMS = "last_claims"  #: this note has what other stores keep as rows of `target`


def _columns(connection: apsw.Connection, table: str) -> frozenset[str]:
    if table == "target":
        return frozenset({"name", "last_claim_at"})
    found = {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
    return frozenset(found - _KEPT_TO_ITSELF.get(table, set()))


class SqliteSource:
    """Implements CopySource. It holds the owner's lock."""

    def __init__(self, path: Path) -> None:
        """Lock a store that exists. Raises StoreError, or StoreInUse while a daemon runs."""
        self._path = Path(os.path.realpath(path))
        check_existing(self._path)
        self._lock = lock_store(self._path)
        try:
            self._lock.hold(self._path)
            self._connection = connect(self._path, readonly=True)
        except (OSError, apsw.Error) as error:
            self._lock.release()
            raise StoreError(f"the store {self._path} can't be read: {error}") from None

    def columns(self, table: str) -> frozenset[str]:
        """See CopySource.columns."""
        return _columns(self._connection, table) | ({"tries"} if table == "delivery" else set())

    def rows(self, table: str) -> Iterator[Row]:
        """See CopySource.rows."""
        if table == "target":
            found = last_claims.read(self._connection.execute(last_claims.FIND).fetchall())
            yield from ({"name": name, "last_claim_at": at} for name, at in found.items())
            return
        names = sorted(_columns(self._connection, table))
        # The number of the last attempt. Other stores keep it in the delivery.
        tries = "coalesce((SELECT max(number) FROM attempt WHERE attempt.delivery = t.seq), 0)"
        more = {"delivery": f", {tries}", "event": ", size"}.get(table, "")
        order = f" ORDER BY {_ORDER[table]}" if table in _ORDER else ""
        without = f" WHERE name <> '{_LAST_CLAIMS}'" if table == "note" else ""
        sql = f"SELECT {', '.join(names)}{more} FROM {table} t{without}{order}"  # noqa: S608 - constants
        try:
            for values in self._connection.execute(sql):
                row = dict(zip([*names, "tries"], values, strict=False))
                yield self._whole(row, values[-1]) if table == "event" else row
        except apsw.Error as error:
            raise StoreError(f"the store {self._path} can't be read: {cause_of(error)}") from None

    def _whole(self, event: dict[str, Any], size: int | None) -> Row:
        """An event's row with its body."""
        event.pop("tries")
        if size is not None:
            event["body"] = read_body(self._connection, event["id"], size)
        return event

    def count(self, table: str) -> int:
        """See CopySource.count."""
        if table == "target":
            return 0
        [(count,)] = self._connection.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608 - constants
        return int(str(count))

    def last_numbers(self) -> LastNumbers:
        """See CopySource.last_numbers."""
        found = {
            str(name): int(str(seq)) for name, seq in self._connection.execute("SELECT name, seq FROM sqlite_sequence")
        }
        [(newest,)] = self._connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchall()
        return LastNumbers(max(found.get("event", 0), int(str(newest))), found.get("delivery", 0))

    def close(self) -> None:
        """See CopySource.close."""
        self._connection.close()
        self._lock.release()


class SqliteTarget:
    """Implements CopyTarget. It writes under another name and renames the file when it is complete."""

    def __init__(self, path: Path) -> None:
        """Begin a new file. Raises StoreError."""
        self._path = Path(os.path.realpath(path))
        if os.path.lexists(self._path):
            raise StoreError(f"{self._path} exists already, and a copy never overwrites; choose another name")
        self._draft = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            os.close(os.open(self._draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StoreError(
                f"the store {self._path} can't be written: {reason}; its folder must exist and be writable"
            ) from None
        try:
            self._connection = connect(self._draft)
            migrate(self._connection, self._draft, 0)
            self._connection.execute("PRAGMA synchronous = OFF")  # synced once, at the end
        except BaseException:
            self._remove()
            raise

    def columns(self, table: str) -> frozenset[str]:
        """See CopyTarget.columns."""
        return _columns(self._connection, table)

    def write(self, table: str, columns: Iterable[str], rows: Iterable[Row]) -> int:
        """See CopyTarget.write."""
        if table == "target":
            return self._write_claim_times(rows)
        names = list(columns)
        if table == "event":
            names, rows = [*names, "size"], map(self._in_pieces, rows)
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - constants
        written = 0
        left = iter(rows)
        try:
            with self._connection:
                while some := list(itertools.islice(left, _AT_ONCE)):
                    self._connection.executemany(sql, [tuple(row[name] for name in names) for row in some])
                    written += len(some)
        except apsw.Error as error:
            raise StoreError(f"the store {self._path} can't be written: {error}; nothing is left of it") from None
        return written

    def _in_pieces(self, event: Row) -> Row:
        """An event's row. A large body is written in pieces first."""
        body = event["body"]
        if not is_large(body):
            return {**event, "size": None}
        for number, data in enumerate(pieces_of(body)):
            self._connection.execute("INSERT INTO piece VALUES (?, ?, ?)", (event["id"], number, data))
        return {**event, "body": b"", "size": len(body)}

    def finish(self, last: LastNumbers) -> None:
        """See CopyTarget.finish."""
        try:
            with self._connection:
                for name, seq in (("event", last.event), ("delivery", last.delivery)):
                    self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
                    self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, seq))
            self._connection.pragma("journal_mode", "delete")  # one file; a daemon turns the log on again
            self._connection.close()
            check_copy(self._draft, self._path)
            name_copy(self._draft, self._path)
        except (apsw.Error, OSError) as error:
            raise StoreError(f"the store {self._path} can't be written: {error}; nothing is left of it") from None

    def close(self) -> None:
        """See CopyTarget.close."""
        self._connection.close()
        self._remove()

    def _write_claim_times(self, rows: Iterable[Row]) -> int:
        times = {row["name"]: row["last_claim_at"] for row in rows if row["last_claim_at"] is not None}
        if times:
            self._connection.execute("INSERT INTO note VALUES (?, ?)", (_LAST_CLAIMS, json.dumps(times)))
        return len(times)

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                self._draft.with_name(self._draft.name + suffix).unlink()
