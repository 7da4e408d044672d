"""Writes many rows with few statements."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import apsw

_ROWS = 64  #: in one statement


def write_rows(connection: apsw.Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Run a statement with `VALUES {}` over many rows. Returns the rows that it returns.

    Each step of a statement gives Python's lock to another thread and takes it back, so one statement takes up to 64
    rows. The numbers of rows are powers of two, so that few different texts fill the cache of prepared statements. Rows
    of NULLs fill the rest; every statement must skip them.
    """
    start, returned = 0, []
    while start < len(rows):
        size = min(_ROWS, 1 << (len(rows) - start - 1).bit_length())
        piece = rows[start : start + size]
        values = [value for row in piece for value in row]
        values += [None] * (len(piece[0]) * (size - len(piece)))
        returned += connection.execute(_statement(sql, len(piece[0]), size), values).fetchall()
        start += size
    return returned


@lru_cache(maxsize=64)  # seven sizes of a few statements; the same text object is also hashed only once
def _statement(sql: str, columns: int, rows: int) -> str:
    return sql.format(", ".join(["(" + ", ".join("?" * columns) + ")"] * rows))
