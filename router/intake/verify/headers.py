"""How schemes read headers."""

from router.domain.headers import HEADER_NAME, dropped_header
from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.scheme import Unverified, VerifyFailure


def check_header(name: str, build: Build, option: str) -> None:
    """Report a name that a header can't have."""
    if not HEADER_NAME.fullmatch(name):
        build.fault("expected a header name of letters, digits and -", option)
    elif "_" in name:
        build.fault_unless_recorded(dropped_header(name), option)


def one_header(inbound: Inbound, name: str) -> str | Unverified:
    """The only value of a header. It is refused when it is missing, empty, repeated or not ASCII."""
    values = inbound.named.by_name.get(name.lower())
    if not values:
        return Unverified(VerifyFailure.MISSING, f"header {name} is missing")
    if len(values) > 1:
        return Unverified(VerifyFailure.MALFORMED, f"header {name} was sent more than once")
    if not values[0]:
        return Unverified(VerifyFailure.MISSING, f"header {name} is empty")
    if not values[0].isascii():
        return Unverified(VerifyFailure.MALFORMED, f"header {name} is not ASCII")
    return values[0]
