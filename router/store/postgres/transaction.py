"""One transaction whose statements go to the server in one flush."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.types.numeric import Int8

from router.store.postgres.connection import Connected

LOCK_CLASS = 0x77687274  #: the first number of all our advisory locks, "whrt"
LOCK_SECONDS = 2  #: how long a statement waits for a lock; longer means that its holder hangs
Row = tuple[Any, ...]

# The other ways to join and scan are switched off. A plan that was made while a table was small, or from old
# statistics, can then never read whole tables: each statement of the writer finds its rows by an index.
# It must not read the whole of a partial index either, such as that of running deliveries. The planner believes that
# it is tiny, but while somebody holds an old snapshot it keeps an entry of every delivery that ran. So a statement with
# an id uses `state || ''`, which no such index has, and a subquery has OFFSET 0, so that it runs row by row.
_SETTINGS = (
    "SELECT set_config('lock_timeout', '{lock}s', {local}), set_config('enable_seqscan', 'off', {local}),"
    " set_config('enable_hashjoin', 'off', {local}), set_config('enable_mergejoin', 'off', {local}),"
    " set_config('enable_bitmapscan', 'off', {local}), set_config('jit', 'off', {local}),"
    " set_config('plan_cache_mode', 'force_generic_plan', {local}),"
    " set_config('idle_in_transaction_session_timeout', '{idle}s', {local})"
)


def settings(idle_seconds: int, *, local: bool) -> str:
    """The statement that sets what a writer's transactions need. `local`: only in the current transaction."""
    return _SETTINGS.format(lock=LOCK_SECONDS, idle=idle_seconds, local="true" if local else "false")


class Rows:
    """The rows that one statement returns. They are known after the flush."""

    def __init__(self, cursor: psycopg.Cursor[Row]) -> None:
        self._cursor = cursor

    def all(self) -> list[Row]:
        """All rows."""
        return self._cursor.fetchall()


class Transaction:
    """Statements from BEGIN to COMMIT. Belongs to the writer."""

    def __init__(self, connection: Connected, writer: int, node: int | None, settings: str | None) -> None:
        """`settings`: see the function of that name; None: the session has them already."""
        self._connection = connection
        self.writer = Int8(writer)  #: see the sequence `writer` in the schema
        self.node = None if node is None else Int8(node)
        self._settings = settings

    def run(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Send a statement. Its result arrives with the flush."""
        cursor = self._connection.cursor(binary=True)
        cursor.execute(sql.encode(), values, binary=True)
        return Rows(cursor)

    def _bound(self, word: str) -> None:
        """Send BEGIN or COMMIT as text, so that a pooler sees where the transaction ends."""
        self._connection.cursor().execute(word.encode(), prepare=False)

    def commit(self, fill: Callable[["Transaction"], None]) -> None:
        """Send BEGIN, the statements of `fill`, and COMMIT. Raises psycopg.Error, and whatever `fill` raises."""
        try:
            with self._connection.pipeline():
                self._bound("BEGIN")
                if self._settings is not None:
                    self.run(self._settings)
                fill(self)
                self._bound("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        with suppress(psycopg.Error):
            if not self._connection.closed:
                self._connection.rollback()
