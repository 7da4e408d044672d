"""Large bodies in pieces: a commit of 25 MB would take 80 ms, and all other events would wait for it."""

from collections.abc import Iterator
from typing import Any

import apsw

from router.domain.errors import StoreError

LARGE_BYTES = 512 * 1024  #: a larger body is written in pieces; the commit of a body of this size takes about 3 ms
PIECE_BYTES = 256 * 1024  #: of one piece, whose commit takes some 1.5 ms; smaller pieces take longer in all


def is_large(body: bytes) -> bool:
    """Whether a body must be in pieces."""
    return len(body) > LARGE_BYTES


def pieces_of(body: bytes) -> Iterator[bytes]:
    """The pieces of a body, without a copy of all of it."""
    view = memoryview(body)
    for start in range(0, len(view), PIECE_BYTES):
        yield bytes(view[start : start + PIECE_BYTES])


def read_body(connection: apsw.Connection, event_id: str, size: int) -> bytes:
    """Put a body together. Raises StoreError when it is damaged, apsw.Error."""
    rows: list[tuple[Any, ...]] = connection.execute(_READ, (event_id,)).fetchall()
    body = b"".join([row[0] for row in rows])  # a join of this size lets other threads run meanwhile
    if len(body) != size:
        raise StoreError(
            f"the body of event {event_id} is damaged: {len(body)} of {size} bytes are there;"
            " `webhook-router store check` tells what is wrong"
        )
    return body


_READ = "SELECT data FROM piece WHERE event = ? ORDER BY number"
