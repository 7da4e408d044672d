"""Reads the large bodies of claimed events, beside the writer: its commits must not wait for 25 MB to be read."""

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import apsw
import structlog

from router.domain.deliveries import Claim
from router.domain.errors import StoreError
from router.store.sqlite.connection import cause_of, connect
from router.store.sqlite.pieces import read_body

log = structlog.get_logger()

Claims = Sequence[Claim] | Claim | None
"""The result of a claim of due deliveries, or of one."""


class _Waiting(NamedTuple):
    """A claim that lacks bodies."""

    future: "Future[Claims]"
    claims: Claims
    sizes: Mapping[str, int]  #: of the bodies that are in pieces, by event


class ClaimedBodies:
    """A thread that completes claims. `put` and `close` belong to the writer's thread and to the one that ends it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-bodies", daemon=True)
        self._thread.start()

    def put(self, future: "Future[Claims]", claims: Claims, sizes: Mapping[str, int]) -> None:
        """End a claim's future once its bodies are read. None of them is removed meanwhile: retention keeps events with
        running deliveries."""
        self._waiting.put(_Waiting(future, claims, sizes))

    def close(self) -> None:
        """End the thread, after the claims that wait."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = connect(self._path, readonly=True)
        try:
            while (waiting := self._waiting.get()) is not None:
                waiting.future.set_result(_completed(connection, waiting))
        finally:
            connection.close()


def _completed(connection: apsw.Connection, waiting: _Waiting) -> Claims:
    claims = waiting.claims
    if claims is None or isinstance(claims, Claim):
        return None if claims is None else _with_body(connection, claims, waiting.sizes)
    found = [_with_body(connection, claim, waiting.sizes) for claim in claims]
    return [claim for claim in found if claim is not None]


def _with_body(connection: apsw.Connection, claim: Claim, sizes: Mapping[str, int]) -> Claim | None:
    """None when the body can't be read. Its delivery stays as it is until the next start, which counts an interruption:
    trying again at once would fail for ever."""
    event = claim.event
    if event.id not in sizes:
        return claim
    try:
        return replace(claim, event=replace(event, body=read_body(connection, event.id, sizes[event.id])))
    except (StoreError, apsw.Error) as error:
        reason = cause_of(error) if isinstance(error, apsw.Error) else str(error)
        log.error("claimed event can't be read", event_id=event.id, delivery_id=claim.delivery.id, error=reason)
        return None
