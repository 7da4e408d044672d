"""Scheme stripe: HMAC-SHA256 of `<time>.<body>` in Stripe-Signature, as `t=<time>,v1=<hex>[,v1=<hex>…]`.

docs.stripe.com, "Resolve webhook signature verification errors" and "Verify webhook signatures manually". Of the
signatures only v1 counts. A secret is the endpoint's `whsec_…`, used as it stands.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.secrets import Secrets
from router.domain.units import Duration
from router.intake.verify.credentials import NO_SECRET
from router.intake.verify.headers import one_header
from router.intake.verify.signature import (
    TOLERANCE_SECONDS,
    WRONG_SIGNATURE,
    check_time,
    key_bytes,
    resolve,
    signed_by_any,
)
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import (
    SenderProfile,
    Signed,
    SignedParts,
    Unsignable,
    Unverified,
    Verified,
    Verifier,
    VerifyFailure,
)

HEADER = "Stripe-Signature"
DEFAULTS: Mapping[str, Any] = {
    "dedupe": {"key": "$.id", "window": "72h"},  # Stripe repeats a live event for three days
}
PROFILE = SenderProfile(headers=("Stripe-*",))
_SIGNED = SignedParts()  # the time stands in the signature's own header
_NAME = re.compile(r"[a-z][a-z0-9]*")
_VALUE = re.compile(r"[A-Za-z0-9]+")
_MOST_SIGNATURES = 20  #: in one header; a rotation needs two


class Options(Base):
    """What Stripe signs with."""

    secret: Secrets = Field(description="The endpoint's signing secret, or a list of them for rotation.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")


@dataclass(frozen=True, slots=True)
class Stripe:
    """Verifies Stripe's signature."""

    keys: tuple[bytes, ...]
    tolerance: float
    verifies: bool = True
    signed_parts: SignedParts = _SIGNED

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:
        """See Verifier.verify."""
        given = one_header(inbound, HEADER)
        if isinstance(given, Unverified):
            return given
        pairs = [part.partition("=") for part in given.split(",")]
        if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, _, value in pairs):
            return Unverified(VerifyFailure.MALFORMED, f"header {HEADER} is not a list of name=value")
        times = [value for name, _, value in pairs if name == "t"]
        signatures = [value for name, _, value in pairs if name == "v1"]
        if len(times) != 1 or not 0 < len(signatures) <= _MOST_SIGNATURES:
            return Unverified(VerifyFailure.MALFORMED, f"header {HEADER} needs one t and a v1")
        refused = check_time(times[0], f"t of {HEADER}", self.tolerance, now)
        if refused is not None:
            return refused
        message, good = times[0].encode() + b"." + inbound.body, False
        for signature in signatures:
            good |= signed_by_any(self.keys, "sha256", message, signature)
        return Verified(without_credentials(inbound)) if good else WRONG_SIGNATURE

    def sign(self, inbound: Inbound, now: int) -> Signed | Unsignable:
        """See Verifier.sign."""
        if not self.keys:
            return NO_SECRET
        timestamp = str(now // 1000)
        digest = hmac.digest(self.keys[0], timestamp.encode() + b"." + inbound.body, "sha256")
        return Signed(((HEADER, f"t={timestamp},v1={digest.hex()}"),))


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    return Stripe(key_bytes(resolve(options.secret, build)), options.tolerance)
