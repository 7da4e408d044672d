"""The sender's address of a request that may come through proxies.

Each proxy appends its client's address to X-Forwarded-For. So the list is read from the right, past trusted proxies, to
the first address that is not trusted. Everything to the left of that address could be forged.
"""

from collections.abc import Sequence

from router.domain.headers import Headers
from router.domain.networks import Network, is_within, parse_address

MAX_FORWARDED = 32  #: addresses of the header that are read; real chains have two or three


def client_address(peer: str, headers: tuple[tuple[str, str], ...], trusted: Sequence[Network]) -> str:
    """The peer's address, or the address that trusted proxies report; empty when their report is invalid."""
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
