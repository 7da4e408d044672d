"""Removes plain credentials from a request, before it becomes an event."""

from dataclasses import replace
from urllib.parse import unquote_plus

from router.domain.request import Inbound

CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Names, in lower case, of headers that are removed after verification by every scheme, so that no event has them."""


_CREDENTIAL_WORDS = (
    *("authoriz", "authentic", "x-auth", "cookie", "token", "secret", "password", "passwd", "api-key", "apikey"),
    *("credential", "session-id", "access-key", "private-key", "jwt"),
)
_SIGNATURE_WORDS = ("signature", "hmac", "x-sig", "-sig-")


def holds_credential(name: str) -> bool:
    """Whether a header or parameter of this name may hold a password, a token or a key; `_` counts as `-`."""
    plain = name.lower().replace("_", "-")
    return plain in CREDENTIALS or plain == "key" or any(word in plain for word in _CREDENTIAL_WORDS)


def holds_signature(name: str) -> bool:
    """Whether a header or parameter of this name may hold a signature; `_` counts as `-`."""
    plain = name.lower().replace("_", "-")
    return plain in ("sig", "sign") or any(word in plain for word in _SIGNATURE_WORDS)


def without_credentials(inbound: Inbound, *, header: str | None = None, query: str | None = None) -> Inbound:
    """The request without Authorization, Proxy-Authorization, Cookie, and the header and query parameter that
    the scheme checked. The rest of the query stays byte for byte the same.
    """
    dropped = CREDENTIALS | {header.lower()} if header else CREDENTIALS
    if query is None and dropped.isdisjoint(inbound.named.by_name):
        return inbound
    headers = tuple(item for item in inbound.headers if item[0].lower() not in dropped)
    kept = inbound.query
    if query is not None:
        kept = "&".join(part for part in kept.split("&") if parameter_name(part) != query)
    return replace(inbound, headers=headers, query=kept)


def parameter_name(part: str) -> str:
    """The decoded name of one `name=value` of a query."""
    return unquote_plus(part.partition("=")[0])
