"""The trace that a request belongs to: W3C Trace Context, level 2, sections 3.2 and 3.3 (traceparent, tracestate).

Taken from the sender and handed on; a request that belongs to none begins none.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_STATE = 4096  #: characters of a tracestate that is handed on; the specification asks for 512
_MEMBERS = 32  #: of a tracestate; with more it is invalid
_FLAGS = 0b11  #: sampled and random-trace-id; what later versions mean by others is not ours to claim
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_NAME, _STATE_NAME = "traceparent", "tracestate"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in a trace an event stands."""

    trace_id: str  #: 32 hex digits
    flags: int
    state: str  #: the tracestate as it came, its headers joined; empty: none, or one that is not valid

    def parent(self) -> str:
        """A traceparent for what is done next: the same trace, a span of its own each time."""
        # Random, but no secret; zero means "no span".
        return f"00-{self.trace_id}-{random.getrandbits(64) or 1:016x}-{self.flags:02x}"


def trace_of(headers: Iterable[tuple[str, str]]) -> TraceContext | None:
    """The trace that headers name; none when they name none, several, or one that is not valid."""
    found: str | None = None
    for name, value in headers:
        # Most requests have none, so what is looked at first is what costs least.
        if len(name) == len(_NAME) and name.lower() == _NAME:
            if found is not None:
                return None
            found = value
    return None if found is None else _read(found, headers)


def trace_id_of(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """`trace_id` as a log line has it, when there is one."""
    trace = trace_of(headers)
    return {} if trace is None else {"trace_id": trace.trace_id}


def _read(text: str, headers: Iterable[tuple[str, str]]) -> TraceContext | None:
    parts = _PARENT.fullmatch(text)
    if parts is None:
        return None
    version, trace_id, span, flags, rest = parts.groups()
    # A later version may go on after another dash: what stands before it is read as if it were ours.
    if version == "ff" or (version == "00" and rest) or trace_id == "0" * 32 or span == "0" * 16:
        return None
    return TraceContext(trace_id, int(flags, 16) & _FLAGS, _state(headers))


def _state(headers: Iterable[tuple[str, str]]) -> str:
    values = [value for name, value in headers if len(name) == len(_STATE_NAME) and name.lower() == _STATE_NAME]
    text = ",".join(values)
    if len(text) > LONGEST_STATE:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    valid = 0 < len(members) <= _MEMBERS and all(map(_MEMBER.fullmatch, members))
    return text if valid else ""
