"""What a source refuses before it verifies anything: by method, address, size and encoding."""

from collections.abc import Sequence

from router.domain.networks import is_within, parse_address
from router.domain.request import Inbound
from router.intake.content_encoding import GZIP
from router.intake.rejection import ENCODED_BODY, FOREIGN_ADDRESS, Rejection, large_body, wrong_method
from router.rules.source import Source


def check_admission(inbound: Inbound, source: Source, codings: Sequence[str]) -> Rejection | None:
    """Why the source refuses a request with these codings; None when it may be verified."""
    if not _takes_method(inbound.method, source):
        return wrong_method(source)
    if source.allow_ips and not is_within(parse_address(inbound.ip), source.allow_ips):
        return FOREIGN_ADDRESS
    if len(inbound.body) > source.max_body:
        return large_body(source)
    if codings and (len(codings) > 1 or codings[0] not in GZIP):
        return ENCODED_BODY
    return None


def _takes_method(method: str, source: Source) -> bool:
    return method in source.methods or (source.handshake is not None and method in source.handshake.methods)
