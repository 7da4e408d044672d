"""What a source refuses before anything is verified: by method, address, size and encoding."""

from router.domain.networks import is_within, parse_address
from router.domain.request import Inbound
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
    codings = inbound.named.by_name.get("content-encoding")
    if codings is not None and any(map(_is_encoded, codings)):
        return ENCODED_BODY
    return None


def _takes_method(method: str, source: Source) -> bool:
    return method in source.methods or (source.handshake is not None and method in source.handshake.methods)


def _is_encoded(content_encoding: str) -> bool:
    """Whether the header, a list, names any coding but `identity`."""
    return any(coding.strip().lower() not in ("", "identity") for coding in content_encoding.split(","))
