"""Whose address a request comes from.

A proxy that is trusted says in X-Forwarded-For who asked it, after what it was told itself; so the list is read from
the right, past the trusted ones, and what stands left of the first untrusted address could be anybody's invention.
"""

from collections.abc import Sequence

from router.domain.headers import Headers
from router.domain.networks import Network, is_within, parse_address

MAX_FORWARDED = 32  #: addresses that are looked at; real chains have two or three


def client_address(peer: str, headers: tuple[tuple[str, str], ...], trusted: Sequence[Network]) -> str:
    """The sender's address: the peer's, or what trusted proxies say of it; empty when they say what is no address."""
    if not trusted and ":" not in peer:
        return peer
    address = parse_address(peer)
    if trusted and is_within(address, trusted):
        forwarded = ",".join(Headers(headers).all("x-forwarded-for"))
        for text in reversed(forwarded.rsplit(",", MAX_FORWARDED)[-MAX_FORWARDED:] if forwarded else ()):
            address = parse_address(text.strip())
            if not is_within(address, trusted):
                break
    return "" if address is None else str(address)
