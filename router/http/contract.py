"""The contract between servers and a handler: a request in, a reply out, at once or later."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from router.domain.made_often import made_often
from router.domain.reply import Reply


@dataclass(slots=True)
class Request:
    """One request, read whole. Its framing is sound and its path is in plain form."""

    method: str
    path: str  #: decoded
    query: str  #: raw, without the question mark
    headers: tuple[tuple[str, str], ...]  #: in the order received, values as Latin-1
    body: bytes
    ip: str  #: of the peer


@made_often
@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A reply that comes later, usually after a commit. It holds no thread while it waits."""

    future: "Future[Any]"  #: what it waits for
    reply: Callable[[float], Reply]  #: returns the reply, after at most this many seconds; a 503 if it takes longer


Handler = Callable[[Request], Reply | Pending]
"""Any thread may call it. It never blocks on a small body, because servers call it in their loop's thread."""

BodyLimit = Callable[[str], int]
"""From a path to the largest body that it takes, in bytes."""

Answered = Callable[[str, int], None]
"""Called with path and status for each reply that the server made by itself: refusals and faults."""

WakeUp = Callable[[Callable[[], None]], None]
"""Calls the function that wakes a loop: at once, or once for a batch of futures that end together."""


def at_once(wake: Callable[[], None]) -> None:
    """Wake a loop for each future."""
    wake()
