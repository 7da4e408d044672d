"""The record of a forward's request, stored with its attempt: enough to see what the target got, without secrets."""

import hashlib
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

from router.client.exchange import Request
from router.domain.credentials import holds_credential, holds_signature
from router.domain.outcomes import Sent

MOST_HEADERS = 50  #: headers of a request that are stored; most forwards send ten to twenty
LONGEST_VALUE = 200  #: characters of a header's value that are stored; most are below 100
LONGEST_URL = 500  #: characters of a URL that are stored
START_BYTES = 256  #: bytes of the body that are stored; the first keys of a JSON body show which one it is


def sent_of(request: Request) -> Sent:
    """The record of a request. It hides the values of headers that hold credentials or signatures."""
    return Sent(
        request.method,
        (_shown_url if len(request.url) <= LONGEST_URL else shown_url)(request.url),
        tuple([(name[:LONGEST_VALUE], _shown(name, value)) for name, value in request.headers[:MOST_HEADERS]]),
        len(request.body),
        hashlib.sha256(request.body).hexdigest(),
        request.body[:START_BYTES].decode(errors="replace"),
    )


def shown_url(url: str) -> str:
    """The URL without userinfo, query and fragment."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return _cut(urlunsplit((parts.scheme, place, parts.path, "", "")), LONGEST_URL)


_shown_url = lru_cache(maxsize=256)(shown_url)  # targets have few URLs; a long URL, made from a payload, is not cached


def _shown(name: str, value: str) -> str:
    return (_cached_mask if len(name) <= LONGEST_VALUE else _mask)(name) or _cut(value, LONGEST_VALUE)


def _mask(name: str) -> str:
    """What is stored instead of the header's value; empty for a harmless header."""
    return "<secret>" if holds_credential(name) else "<signature>" if holds_signature(name) else ""


_cached_mask = lru_cache(maxsize=1024)(_mask)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
