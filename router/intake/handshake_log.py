"""Logs answered handshakes at a bounded rate: anybody may send Slack's unsigned one as fast as they like."""

from collections import Counter

import structlog

EVERY_MS = 1_000  #: between two such lines of one source; handshakes between them are counted

log = structlog.get_logger()


class HandshakeLog:
    """The time of the next line, by source. Any thread may call it; two calls at once may both log."""

    __slots__ = ("_next", "_unsaid")

    def __init__(self) -> None:
        self._next: dict[str, int] = {}  #: ms
        self._unsaid: Counter[str] = Counter()

    def tell(self, source: str, status: int, now: int) -> None:
        """A handshake was answered; `now` in ms."""
        if now < self._next.get(source, 0):
            self._unsaid[source] += 1
            return
        self._next[source] = now + EVERY_MS
        left_out = self._unsaid.pop(source, 0)
        more = {"left_out": left_out} if left_out else {}
        log.info("handshake answered", source=source, status=status, **more)
