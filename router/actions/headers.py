"""Which of an event's headers a forward passes on."""

import fnmatch
import functools
from collections.abc import Sequence

from router.headers import CREDENTIALS

# RFC 9110, section 7.6.1, and what belongs to one connection or one hop only.
_HOP = {
    *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "transfer-encoding"),
    *("upgrade", "host", "content-length", "expect", "accept-encoding"),
}
# Credentials, and what an internal service may take for the word of a proxy it trusts.
_TRUSTED = {*CREDENTIALS, "forwarded", "x-real-ip", "idempotency-key"}
_TRACE = {"traceparent", "tracestate"}  #: a forward has a place of its own in the trace, and writes them anew
_TRUSTED_BEGINNINGS = ("x-forwarded-", "x-remote-", "x-auth", "webhook-")
# Signatures of the original bytes, which say nothing true of another body.
_SIGNATURES = (
    *("x-hub-signature*", "stripe-signature", "x-slack-signature", "x-slack-request-timestamp", "x-gitlab-signature*"),
    *("x-shopify-hmac-*", "x-twilio-signature", "x-signature*", "*-signature", "*-signature-*", "*-hmac-sha*"),
    *("signature", "signature-input", "x-amz-content-sha256"),
    *("content-md5", "digest", "content-digest", "repr-digest", "content-encoding", "content-type"),
)


_REMEMBERED = 64  #: characters of a name that is judged once for all; real ones are shorter


def passed(items: Sequence[tuple[str, str]], *, only: tuple[str, ...] | None, original: bool) -> list[tuple[str, str]]:
    """The headers to pass on: of another body than the original without what describes the bytes.

    `only` narrows to names that match one of its globs, case aside; it never brings back what is dropped. The
    original's Content-Type stays with it. Names are judged with _ as -, for many servers don't tell the two apart.
    """
    found = [
        (name, value)
        for name, value in items
        if (_passes if len(name) <= _REMEMBERED else _judge)(name, only, original)
    ]
    named = {_plain(name.strip()) for key, value in items if _is_connection(key) for name in value.split(",")}
    return [(name, value) for name, value in found if _plain(name) not in named] if named else found


def _is_connection(name: str) -> bool:
    return len(name) == len("connection") and name.lower() == "connection"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _judge(name: str, only: tuple[str, ...] | None, original: bool) -> bool:
    name = _plain(name)
    if name in _HOP or name in _TRUSTED or name in _TRACE or name.startswith(_TRUSTED_BEGINNINGS):
        return False
    if not original and any(fnmatch.fnmatchcase(name, glob) for glob in _SIGNATURES):
        return False
    return only is None or name == "content-type" or any(fnmatch.fnmatchcase(name, _plain(glob)) for glob in only)


_passes = functools.lru_cache(maxsize=4096)(_judge)
