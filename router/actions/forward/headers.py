"""Which of an event's headers a forward passes on."""

import fnmatch
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import structlog

from router.domain.credentials import CREDENTIALS

log = structlog.get_logger()

# RFC 9110, section 7.6.1, and other headers of a single connection or hop.
_HOP = {
    *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "transfer-encoding"),
    *("upgrade", "host", "content-length", "expect", "accept-encoding"),
}
# Credentials, and headers that internal services believe because only their proxy should send them.
_TRUSTED = {*CREDENTIALS, "forwarded", "x-real-ip", "idempotency-key"}
_TRACE = {"traceparent", "tracestate"}  #: a forward is its own step of the trace and writes new ones
_TRUSTED_BEGINNINGS = ("x-forwarded-", "x-remote-", "x-auth", "webhook-")
# Signatures of the original bytes. They don't fit another body.
_SIGNATURES = (
    *("x-hub-signature*", "stripe-signature", "x-slack-signature", "x-slack-request-timestamp", "x-gitlab-signature*"),
    *("x-shopify-hmac-*", "x-twilio-signature", "x-signature*", "*-signature", "*-signature-*", "*-hmac-sha*"),
    *("signature", "signature-input", "x-amz-content-sha256"),
    *("content-md5", "digest", "content-digest", "repr-digest", "content-encoding", "content-type"),
)


# These pass when the action has no pass_headers. So do those that the source names (`Ruleset.passing`).
_DESCRIBE_THE_BODY = "content-*"
# Not these: they tell a target where and how much to write (RFC 9110, sections 8.7 and 14.5).
_PLACES = {"content-location", "content-range"}
_DEFAULT = (
    *("accept", "user-agent"),
    *("baggage", "b3", "x-b3-*", "x-request-id", "request-id", "x-correlation-id", "correlation-id", "x-amzn-trace-id"),
    *("x-cloud-trace-context", "uber-trace-id", "sentry-trace", "x-datadog-*", "newrelic", "elastic-apm-traceparent"),
)

_LONGEST_CACHED = 64  #: longest name, in characters, whose verdict is cached; real names are shorter
_MOST_LOGGED = 20  #: names for each source


class _Verdict(Enum):
    PASSES = 1
    STOPPED = 2  #: passes only if pass_headers names it
    DROPPED = 3


@dataclass(frozen=True, slots=True)
class Passed:
    """Which of an event's headers pass."""

    items: list[tuple[str, str]]  #: the headers that pass
    stopped: list[str]  #: names of headers that pass only when pass_headers lists them


def passed(
    items: Sequence[tuple[str, str]],
    *,
    only: tuple[str, ...] | None,
    original: bool,
    named: frozenset[str] = frozenset(),
) -> Passed:
    """The headers to pass on. Unless the body is the original, headers that describe its bytes are dropped.

    Without `only`, harmless headers pass, and names that match a glob of `named` (in lower case). With `only`, names
    that match one of its globs pass instead, in any case. Some headers are always dropped.

    For the dropped headers and for `only`, _ counts as -, as in many servers. For harmless headers it does not:
    otherwise X_GitHub_Event would pass beside X-GitHub-Event and be taken for it.
    """
    found: list[tuple[str, str]] = []
    stopped: list[str] = []
    for item in items:
        verdict = (_verdict if len(item[0]) <= _LONGEST_CACHED else _judge)(item[0], only, original, named)
        if verdict is _Verdict.PASSES:
            found.append(item)
        elif verdict is _Verdict.STOPPED:
            stopped.append(item[0])
    hop = {_plain(name.strip()) for key, value in items if _is_connection(key) for name in value.split(",")}
    if hop:
        found = [(name, value) for name, value in found if _plain(name) not in hop]
        stopped = [name for name in stopped if _plain(name) not in hop]
    return Passed(found, stopped)


class StoppedHeaders:
    """Logs once for each source which headers don't reach targets. Belongs to the delivery loop."""

    def __init__(self) -> None:
        self._logged: dict[str, set[str]] = {}

    def note(self, source: str, names: Sequence[str]) -> None:
        """Log headers of an event that were not passed on, if they are new."""
        logged = self._logged.setdefault(source, set())
        found = {name[:_LONGEST_CACHED].lower(): name[:_LONGEST_CACHED] for name in reversed(names)}
        new = [name for lower, name in reversed(found.items()) if lower not in logged][: _MOST_LOGGED - len(logged)]
        if not new:
            return
        logged.update(name.lower() for name in new)
        log.warning(
            "forwards don't pass these headers on; name them in pass_headers if a target needs them",
            source=source,
            headers=new,
        )


def _is_connection(name: str) -> bool:
    return len(name) == len("connection") and name.lower() == "connection"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _judge(name: str, only: tuple[str, ...] | None, original: bool, named: frozenset[str]) -> _Verdict:
    plain, lower = _plain(name), name.lower()
    if plain in _HOP or plain in _TRUSTED or plain in _TRACE or plain.startswith(_TRUSTED_BEGINNINGS):
        return _Verdict.DROPPED
    if not original and _fits(plain, _SIGNATURES):
        return _Verdict.DROPPED
    if plain == "content-type":
        return _Verdict.PASSES
    if only is not None:
        return _Verdict.PASSES if any(fnmatch.fnmatchcase(plain, _plain(glob)) for glob in only) else _Verdict.DROPPED
    if fnmatch.fnmatchcase(lower, _DESCRIBE_THE_BODY) and lower not in _PLACES:
        return _Verdict.PASSES
    return _Verdict.PASSES if _fits(lower, _DEFAULT) or _fits(lower, named) else _Verdict.STOPPED


def _fits(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


_verdict = functools.lru_cache(maxsize=4096)(_judge)
