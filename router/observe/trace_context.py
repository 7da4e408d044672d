"""The trace of a request: W3C Trace Context, level 2, sections 3.2 and 3.3 (traceparent, tracestate).

The sender's trace is passed on. A request without a trace starts none.
"""

import random
import re
from dataclasses import dataclass

from router.domain.headers import Headers

LONGEST_STATE = 4096  #: characters of a tracestate that is passed on; the specification asks for 512
_MEMBERS = 32  #: most members of a valid tracestate
_FLAGS = 0b11  #: sampled and random-trace-id; later versions may define others, which are not passed on
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace of an event."""

    trace_id: str  #: 32 hex digits
    flags: int
    state: str  #: the tracestate as received, its headers joined; empty: missing or invalid

    def parent(self) -> str:
        """A traceparent for the next request: the same trace with a new span."""
        # Random, but not secret. Zero means "no span".
        return f"00-{self.trace_id}-{random.getrandbits(64) or 1:016x}-{self.flags:02x}"


def trace_of(headers: Headers) -> TraceContext | None:
    """The trace of a request's headers; None when it is missing, repeated or invalid."""
    found = headers.by_name.get("traceparent")
    return None if found is None or len(found) > 1 else _read(found[0], headers)


def trace_id_of(headers: Headers) -> dict[str, str]:
    """`trace_id` as a field of a log line; empty without a trace."""
    trace = trace_of(headers)
    return {} if trace is None else {"trace_id": trace.trace_id}


def _read(text: str, headers: Headers) -> TraceContext | None:
    parts = _PARENT.fullmatch(text)
    if parts is None:
        return None
    version, trace_id, span, flags, rest = parts.groups()
    # A later version may add parts after another dash. The parts before it are read as in this version.
    if version == "ff" or (version == "00" and rest) or trace_id == "0" * 32 or span == "0" * 16:
        return None
    return TraceContext(trace_id, int(flags, 16) & _FLAGS, _state(headers))


def _state(headers: Headers) -> str:
    text = ",".join(headers.by_name.get("tracestate", ()))
    if len(text) > LONGEST_STATE:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    valid = 0 < len(members) <= _MEMBERS and all(map(_MEMBER.fullmatch, members))
    return text if valid else ""
