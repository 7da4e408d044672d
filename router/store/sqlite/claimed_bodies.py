"""Reads the large bodies of claimed events in a thread of its own, so that commits don't wait while 25 MB are read."""

import contextlib
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
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

#: tries to read the bodies of a claim from an unreadable store; then the attempts at its deliveries fail
_TRIES = 5
_PAUSE_SECONDS = 1.0  #: between two tries

Claims = Sequence[Claim] | Claim | None
"""The result of a claim of due deliveries, or of one."""


class _Waiting(NamedTuple):
    """A claim whose bodies are missing."""

    future: "Future[Claims]"
    claims: Claims
    sizes: Mapping[str, int]  #: by event, for bodies that are in pieces


class ClaimedBodies:
    """A thread that completes claims. `put` and `close` belong to the writer's thread and to the thread that ends
    it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None  #: while it is open; belongs to the thread
        self._closing = threading.Event()
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-bodies", daemon=True)
        self._thread.start()

    def put(self, future: "Future[Claims]", claims: Claims, sizes: Mapping[str, int]) -> None:
        """Complete a claim's future once its bodies are read.

        The bodies can't be removed meanwhile: retention keeps events with running deliveries.
        """
        self._waiting.put(_Waiting(future, claims, sizes))

    def close(self) -> None:
        """End the thread after the waiting claims."""
        self._closing.set()
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            claims = self._complete(waiting)
            with contextlib.suppress(InvalidStateError):  # nobody waits for it
                waiting.future.set_result(claims)
        self._disconnect()

    def _complete(self, waiting: _Waiting) -> Claims:
        """The claims with their bodies, or with the reason why a body can't be read."""
        for _ in range(_TRIES):
            try:
                if self._connection is None:
                    self._connection = connect(self._path, readonly=True)
                return _completed(self._connection, waiting)
            except apsw.Error as error:  # the next try opens the file again
                reason = cause_of(error)
                self._disconnect()
                self._closing.wait(_PAUSE_SECONDS)
        return _completed(None, waiting, reason)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _completed(connection: apsw.Connection | None, waiting: _Waiting, reason: str = "") -> Claims:
    """The claims with their bodies. Without a connection no body can be read, for the given reason. Raises
    apsw.Error."""
    claims = waiting.claims
    if claims is None or isinstance(claims, Claim):
        return None if claims is None else _with_body(connection, claims, waiting.sizes, reason)
    return [_with_body(connection, claim, waiting.sizes, reason) for claim in claims]


def _with_body(connection: apsw.Connection | None, claim: Claim, sizes: Mapping[str, int], reason: str) -> Claim:
    """The claim with its body, or with the reason why that can't be read. Raises apsw.Error."""
    event = claim.event
    if event.id not in sizes:
        return claim
    if connection is not None:
        try:
            return replace(claim, event=replace(event, body=read_body(connection, event.id, sizes[event.id])))
        except StoreError as error:
            reason = str(error)
    log.error("claimed event can't be read", event_id=event.id, delivery_id=claim.delivery.id, error=reason)
    return replace(claim, unread=reason)
