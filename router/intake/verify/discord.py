"""Scheme discord: ed25519 over `<time><body>`, in X-Signature-Ed25519 and X-Signature-Timestamp.

docs.discord.com, "Interactions: Overview" and "Webhook Events". The key is the application's public key in hex digits.
It is not secret, so the file may contain it as `public_key`. Discord tests now and then that wrong signatures get 401.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.secrets import Secrets
from router.domain.units import Duration
from router.intake.verify.headers import one_header
from router.intake.verify.signature import WRONG_SIGNATURE, resolve
from router.intake.verify.standard_webhooks import is_signed
from router.intake.verify.times import TOLERANCE_SECONDS, check_time
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, SignedParts, Unsignable, Unverified, Verified, Verifier, VerifyFailure

DEFAULTS: Mapping[str, Any] = {"handshake": "discord"}
PROFILE = SenderProfile(headers=("X-Signature-Ed25519", "X-Signature-Timestamp"))
_SIGNATURE = "X-Signature-Ed25519"
_TIMESTAMP = "X-Signature-Timestamp"
_PARTS = SignedParts(frozenset({_TIMESTAMP.lower()}))
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNED = re.compile(r"[0-9a-f]{128}")


class Options(Base):
    """The application's public key, in the file or outside it."""

    secret: Secrets | None = Field(default=None, description="The public key as a secret, or a list of them.")
    public_key: str | None = Field(default=None, description="The public key itself; either this or secret.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")


@dataclass(frozen=True, slots=True)
class Discord:
    """Verifies Discord's signature."""

    keys: tuple[Ed25519PublicKey, ...]
    tolerance: float
    verifies: bool = True
    signed_parts: SignedParts = _PARTS

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:
        """See Verifier.verify."""
        given, timestamp = one_header(inbound, _SIGNATURE), one_header(inbound, _TIMESTAMP)
        if isinstance(given, Unverified):
            return given
        if isinstance(timestamp, Unverified):
            return timestamp
        if not _SIGNED.fullmatch(given):
            return Unverified(VerifyFailure.MALFORMED, f"header {_SIGNATURE} is not 128 lower-case hex digits")
        refused = check_time(timestamp, f"header {_TIMESTAMP}", self.tolerance, now)
        if refused is not None:
            return refused
        signature, message = bytes.fromhex(given), timestamp.encode() + inbound.body
        good = any(is_signed(key, signature, message) for key in self.keys)
        return Verified(without_credentials(inbound)) if good else WRONG_SIGNATURE

    def sign(self, inbound: Inbound, now: int) -> Unsignable:  # noqa: ARG002 - the common signature
        """See Verifier.sign."""
        return Unsignable("only Discord has the key that signs; the key here is its public half, which can only verify")


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    if (options.secret is None) == (options.public_key is None):
        build.fault("expected exactly one of secret and public_key")
    keys: list[Ed25519PublicKey] = []
    texts = [(options.public_key, "public_key", ("public_key",))] if options.public_key is not None else []
    if options.secret is not None:
        found = resolve(options.secret, build)
        texts += [(one.reveal(), one.name, ("secret", i)) for i, one in enumerate(found) if one.is_set]  # type: ignore[misc]
    for text, name, place in texts:
        if text is None or not _KEY.fullmatch(text):
            build.fault(f"{name} is not 64 lower-case hex digits; copy the application's public key", *place)
        else:
            keys.append(Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)))
    return Discord(tuple(keys), options.tolerance)
