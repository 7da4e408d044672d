"""A request's target: its path and query (RFC 9112, section 3.2), with one spelling for each path.

A proxy that allows only some paths often compares them byte by byte. So only one spelling of a path reaches the
handler: no empty or dot segments, and percent-encoding only where it is needed (RFC 3986, section 6.2.2). Any other
spelling is answered 404.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from router.domain.made_often import made_often

_UNENCODED = "-._~!$&'()*+,;=:@/"  #: these may stand unencoded in a path, beside letters and digits
_PLAIN = re.compile(rf"/[A-Za-z0-9{re.escape(_UNENCODED)}]*+")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AUTHORITY = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*+)(?::[0-9]*)?")


@made_often
@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for."""

    path: str  #: decoded
    query: str  #: raw
    problem: int = 0  #: the status to refuse it with: 400 for an invalid target, 404 for a path in another spelling


_MALFORMED = Target("", "", 400)


def is_authority(host: str) -> bool:
    """Whether a Host header is valid: no blanks, slashes or user information."""
    return _AUTHORITY.fullmatch(host) is not None


def read_target(method: str, raw: str) -> Target:
    """Read a target as it is in the request line."""
    if not raw.startswith("/"):
        if raw == "*" and method == "OPTIONS":
            return Target("*", "")
        raw = _without_authority(raw)
    if not raw or "#" in raw or not raw.isascii():
        return _MALFORMED
    path, _, query = raw.partition("?")
    decoded: str | None = path
    if _PLAIN.fullmatch(path) is None:
        decoded = _decoded(path)
        if decoded is None:
            return _MALFORMED
        if quote(decoded, _UNENCODED) != _PERCENT.sub(lambda found: found[0].upper(), path):
            return Target(decoded, query, 404)
    plain = "//" not in path and not ("/." in path and {".", ".."} & set(path.split("/")))
    return Target(decoded or "", query, 0 if plain else 404)


def _without_authority(raw: str) -> str:
    """Path and query of a target in absolute form, which a server must accept; empty for any other text."""
    scheme, separator, rest = raw.partition("://")
    authority, slash, rest = rest.partition("/")
    known = separator and slash and scheme.lower() in ("http", "https") and authority and is_authority(authority)
    return "/" + rest if known else ""


def _decoded(path: str) -> str | None:
    """None when it is not percent-encoded UTF-8, or holds control characters."""
    if any(found[1] is None for found in _PERCENT.finditer(path)):
        return None
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(decoded) else decoded
