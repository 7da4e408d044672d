"""A store in a PostgreSQL database, as the source or the target of a copy."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psycopg

from router.domain.errors import StoreError
from router.store.copying.rows import LastNumbers, Row
from router.store.postgres.arrays import digest, restored, stored
from router.store.postgres.connection import Connected, connect_or_explain
from router.store.postgres.faults import reason
from router.store.postgres.groups import latest_lane, once_lane
from router.store.postgres.lanes import lane_of
from router.store.postgres.opening import check_existing, prepare
from router.store.postgres.schema import LOCK
from router.store.postgres.url import PostgresUrl

_PIECE = 1000  #: rows that are fetched at once

#: tables that only this store has: they are made anew, or end with the nodes
_KEPT_TO_ITSELF = {
    "event": {"writer"},
    "delivery": {"lane", "group_lane", "token", "node"},
    "dedupe": {"digest"},
    "once": {"digest"},
    "notice": {"event", "newest"},
    "target": {"breaker", "concurrency", "rate", "alone"},
}
_MORE = {"dedupe": {"source", "key"}}  #: values that its rows have besides the table's columns
#: tables with rows even in a daemon that has served nothing
_OF_NO_EVENT = ("note", "hold", "included", "ruleset", "dedupe", "once", "poll", "poll_item", "poll_gone")
_ORDER = {"event": "seq", "delivery": "seq", "hold": "seq", "ruleset": "first_at NULLS FIRST"}
# The table has only the hash of a key; its event has the text. Without the event, the key is not copied.
_DEDUPE = """
SELECT e.source, e.dedupe_key AS key, d.event, d.received_at, d.expires_at
FROM webhook_router.dedupe d JOIN webhook_router.event e ON e.id = d.event WHERE e.dedupe_key IS NOT NULL
"""

_COLUMNS = """
SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'webhook_router' AND c.relname = %s AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""

_LIVES = """
SELECT host, process FROM webhook_router.node
WHERE expires_at > extract(epoch FROM clock_timestamp()) * 1000 LIMIT 1
"""


def _columns(connection: Connected, table: str) -> frozenset[str]:
    found = {name for (name,) in connection.execute(_COLUMNS, (table,))}
    return frozenset((found - _KEPT_TO_ITSELF.get(table, set())) | (_MORE.get(table, set()) if found else set()))


def _refuse_nodes(connection: Connected, url: PostgresUrl) -> None:
    for host, process in connection.execute(_LIVES).fetchall():
        raise StoreError(
            f"a node runs on the store {url} (process {process} on {host}); stop all nodes, and wait some seconds if "
            "one was killed"
        )


class PostgresSource:
    """Implements CopySource: all tables at the same moment."""

    def __init__(self, url: PostgresUrl) -> None:
        """Open a store that exists. Raises StoreError while a node runs."""
        self._url = url
        check_existing(url)
        self._connection = connect_or_explain(url)
        try:
            _refuse_nodes(self._connection, url)
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        except BaseException:
            self._connection.close()
            raise

    def columns(self, table: str) -> frozenset[str]:
        """See CopySource.columns."""
        return _columns(self._connection, table)

    def rows(self, table: str) -> Iterator[Row]:
        """See CopySource.rows."""
        names = sorted(_columns(self._connection, table))
        order = f" ORDER BY {_ORDER[table]}" if table in _ORDER else ""
        sql = f"SELECT {', '.join(names)} FROM webhook_router.{table}{order}"  # noqa: S608 - constants
        if table == "dedupe":
            names, sql = ["source", "key", "event", "received_at", "expires_at"], _DEDUPE
        try:
            with self._connection.cursor(f"copy_{table}", binary=True) as cursor:
                cursor.itersize = _PIECE
                for row in cursor.execute(sql.encode()):
                    values = [restored(value) if isinstance(value, str) else value for value in row]
                    yield dict(zip(names, values, strict=True))
        except psycopg.Error as error:
            raise StoreError(f"the store {self._url} can't be read: {reason(error)}") from None

    def count(self, table: str) -> int:
        """See CopySource.count."""
        sql = f"SELECT count(*) FROM webhook_router.{table}"  # noqa: S608 - constants
        return int(self._connection.execute(sql.encode()).fetchall()[0][0])

    def last_numbers(self) -> LastNumbers:
        """See CopySource.last_numbers."""
        sql = (
            "SELECT (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM webhook_router.event_seq_seq),"
            " (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM webhook_router.delivery_seq_seq)"
        )
        return LastNumbers(*self._connection.execute(sql.encode()).fetchall()[0])

    def close(self) -> None:
        """See CopySource.close."""
        self._connection.close()


class PostgresTarget:
    """Implements CopyTarget: one transaction."""

    def __init__(self, url: PostgresUrl) -> None:
        """Make a store, unless there is an empty one. Raises StoreError when it is not empty."""
        self._url = url
        prepare(url)
        self._connection = connect_or_explain(url)
        try:
            _refuse_nodes(self._connection, url)
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT pg_advisory_xact_lock(%s::int, %s::int)", LOCK)
            if self._connection.execute("SELECT 1 FROM webhook_router.event LIMIT 1").fetchall():
                raise StoreError(
                    f"the store {url} has events already, and a copy never overwrites; use another database"
                )
            [(self._writer,)] = self._connection.execute("SELECT nextval('webhook_router.writer')").fetchall()
            for table in _OF_NO_EVENT:
                self._connection.execute(f"DELETE FROM webhook_router.{table}".encode())  # noqa: S608 - constants
        except psycopg.Error as error:
            self._connection.close()
            raise StoreError(f"the store {url} can't be written: {reason(error)}") from None
        except BaseException:
            self._connection.close()
            raise

    def columns(self, table: str) -> frozenset[str]:
        """See CopyTarget.columns."""
        return _columns(self._connection, table)

    def write(self, table: str, columns: Iterable[str], rows: Iterable[Row]) -> int:
        """See CopyTarget.write."""
        names = [name for name in columns if table != "dedupe" or name not in ("source", "key")]
        more = self._more(table)
        every = ", ".join([*names, *more])
        written = 0
        try:
            with self._connection.cursor() as cursor:
                sql = f"COPY webhook_router.{table} ({every}) FROM STDIN"
                with cursor.copy(sql.encode()) as copy:
                    for row in rows:
                        made = (make(row) for make in more.values())
                        copy.write_row([*(_value(row[name]) for name in names), *made])
                        written += 1
        except psycopg.Error as error:
            raise self._failure(error) from None
        return written

    def finish(self, last: LastNumbers) -> None:
        """See CopyTarget.finish."""
        try:
            for sequence, seq in (("event_seq_seq", last.event), ("delivery_seq_seq", last.delivery)):
                if seq:
                    self._connection.execute("SELECT setval(%s::regclass, %s)", (f"webhook_router.{sequence}", seq))
            self._connection.execute(
                "SELECT setval('webhook_router.hold_seq_seq', max(seq)) FROM webhook_router.hold HAVING max(seq) > 0"
            )
            self._connection.execute("COMMIT")
            for table in ("event", "delivery", "attempt"):
                self._connection.execute(f"ANALYZE webhook_router.{table}".encode())
        except psycopg.Error as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """See CopyTarget.close."""
        self._connection.close()

    def _more(self, table: str) -> dict[str, Callable[[Row], Any]]:
        """The values that this store adds to a row."""
        if table == "event":
            return {"writer": lambda _: self._writer}
        if table == "delivery":
            return {"lane": _lane, "group_lane": _group_lane}
        if table == "notice":
            return {"event": lambda _: "", "newest": lambda _: ""}
        if table == "dedupe":
            return {"digest": lambda row: digest(row["source"], row["key"])}
        if table == "once":
            return {"digest": lambda row: once_lane(row["rule"], row["action"], row["key"])}
        return {}

    def _failure(self, error: psycopg.Error) -> StoreError:
        return StoreError(f"the store {self._url} can't be written: {reason(error)}; nothing is left of it")


def _lane(row: Row) -> Any:
    return None if row["order_key"] is None else lane_of(row["rule"], row["action"], row["order_key"])


def _group_lane(row: Row) -> Any:
    latest, once = row.get("latest_key"), row.get("once_key")
    if latest is not None:
        return latest_lane(row["rule"], row["action"], latest)
    return None if once is None else once_lane(row["rule"], row["action"], once)


def _value(value: Any) -> Any:
    return stored(value) if isinstance(value, str) else value
