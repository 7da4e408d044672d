"""Dedupe keys: the first event of each (source, key), until its window ends."""

from collections.abc import Sequence

import apsw

Key = tuple[str, str]
"""Source and dedupe key."""

First = tuple[str, int]
"""Id and received_at of the first event with a key."""

_PIECE = 128  # keys in one statement


def firsts(connection: apsw.Connection, keys: Sequence[Key]) -> dict[Key, First]:
    """The first events of these keys, expired ones included. Keys without an event are left out. One statement reads
    many keys."""
    found: dict[Key, First] = {}
    for start in range(0, len(keys), _PIECE):
        piece = keys[start : start + _PIECE]
        size = 1 << (len(piece) - 1).bit_length()  # few different sizes, so that few statements fill the cache
        values = [text for key in piece for text in key] + [None, None] * (size - len(piece))
        for source, key, event, received_at in connection.execute(_firsts_sql(size), values):
            found[str(source), str(key)] = (str(event), int(str(received_at)))
    return found


def _firsts_sql(size: int) -> str:
    rows = ", ".join(["(?, ?)"] * size)
    return (
        f"SELECT d.source, d.key, d.event, d.received_at FROM (VALUES {rows}) w"  # noqa: S608 - question marks only
        " CROSS JOIN dedupe d ON d.source = w.column1 AND d.key = w.column2"
    )


def bind(connection: apsw.Connection, keys: Sequence[tuple[str, str, str, int, int]]) -> None:
    """Record new first events (source, key, event id, received_at, expires_at) in place of expired ones.

    Each batch also removes up to twice as many expired keys as it adds. So the table shrinks in small steps to the keys
    that have not expired.
    """
    if not keys:
        return
    connection.execute(PRUNE, (min(received_at for _, _, _, received_at, _ in keys), 2 * len(keys)))
    connection.executemany("INSERT OR REPLACE INTO dedupe VALUES (?, ?, ?, ?, ?)", keys)


PRUNE = """
DELETE FROM dedupe WHERE (source, key) IN (
    SELECT source, key FROM dedupe WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
)
"""
