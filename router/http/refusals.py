"""The log of refused requests, at a bounded rate, so that a flood of bad requests does not fill the disk.

Metrics count every refusal. The log has the first ones of a kind, then one each second, and the number left out.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

KIND_LINES = 20  #: lines of one source, status and reason at once: enough to recognize the sender
KIND_SECONDS = 1.0  #: after which one more line of that kind is logged
ALL_LINES = 200  #: lines of all kinds at once
ALL_SECONDS = 0.1  #: after which one more line of any kind is logged: 2 kB/s, 170 MB a day at most
KINDS = 1024  #: kinds that are remembered; reasons may hold parts of what was sent
TOLD_SECONDS = 10.0  #: between two lines about omitted refusals

_Kind = tuple[str | None, int | None, str]
"""Source, status and reason."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Bucket:
    """Lines that may be logged; times are monotonic."""

    full_at: float = 0.0
    left_out: int = 0

    def takes(self, now: float, lines: int, seconds: float) -> bool:
        full_at = max(now, self.full_at) + seconds
        if full_at - now > lines * seconds:
            return False
        self.full_at = full_at
        return True


class Refusals:
    """Any thread may call it."""

    def __init__(self, listener: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._where = {"listener": listener} if listener else {}  # for the log, of one that is not the intake
        self._clock = clock
        self._lock = threading.Lock()
        self._all = _Bucket()
        self._told_at = clock()
        self._forgotten = 0  # omitted lines of kinds that were dropped from memory
        self._kinds: OrderedDict[_Kind, _Bucket] = OrderedDict()

    def tell(self, source: str | None, status: int | None, reason: str, ip: str, method: str | None) -> None:
        """Count a refused request and perhaps log it. `status` is None when no answer could be sent."""
        kind = source, status, reason
        now = self._clock()
        with self._lock:
            bucket = self._kinds.pop(kind, None) or _Bucket()
            self._kinds[kind] = bucket
            if len(self._kinds) > KINDS:
                self._forgotten += self._kinds.popitem(last=False)[1].left_out
            told = bucket.takes(now, KIND_LINES, KIND_SECONDS) and self._all.takes(now, ALL_LINES, ALL_SECONDS)
            if not told:
                bucket.left_out += 1
            left_out = bucket.left_out
            if told:
                bucket.left_out = 0
        if told:
            more: dict[str, Any] = {"left_out": left_out, **self._where} if left_out else self._where
            log.warning("request refused", source=source, status=status, reason=reason, ip=ip, method=method, **more)

    def tell_rest(self) -> None:
        """Log how many refusals were omitted, at most every TOLD_SECONDS. Called now and then."""
        now = self._clock()
        rest: list[tuple[_Kind, int]] = []
        with self._lock:
            if now < self._told_at + TOLD_SECONDS:
                return
            self._told_at = now
            for kind, bucket in self._kinds.items():
                if bucket.left_out and len(rest) < KIND_LINES:
                    rest.append((kind, bucket.left_out))
                    bucket.left_out = 0
            if self._forgotten:
                rest.append(((None, 400, "many reasons"), self._forgotten))
                self._forgotten = 0
        for kind, left_out in rest:
            self._tell_rest(kind, left_out)

    def _tell_rest(self, kind: _Kind, left_out: int) -> None:
        source, status, reason = kind
        more: dict[str, Any] = {"left_out": left_out, **self._where}
        log.warning("further requests refused", source=source, status=status, reason=reason, **more)
