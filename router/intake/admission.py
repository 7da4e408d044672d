"""What a source refuses before anything is verified: by method, address, size and encoding."""

from router.domain.networks import is_within, parse_address
from router.domain.request import Inbound
from router.intake.content_encoding import GZIP, codings
from router.intake.rejection import ENCODED_BODY, FOREIGN_ADDRESS, Rejection, large_body, wrong_method
from router.rules.source import Source


def check_admission(inbound: Inbound, source: Source) -> Rejection | None:
    """Why the source does not take this request; None when it goes on to the handshake and the verification."""
    if not _takes_method(inbound.method, source):
        return wrong_method(source)
    if source.allow_ips and not is_within(parse_address(inbound.ip), source.allow_ips):
        return FOREIGN_ADDRESS
    if len(inbound.body) > source.max_body:
        return large_body(source)
    found = codings(inbound)
    if found and (len(found) > 1 or found[0] not in GZIP):
        return ENCODED_BODY
    return None


def _takes_method(method: str, source: Source) -> bool:
    return method in source.methods or (source.handshake is not None and method in source.handshake.methods)
