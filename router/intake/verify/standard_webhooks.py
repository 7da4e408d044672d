"""Scheme standard-webhooks: signatures by the Standard Webhooks specification, v1 (HMAC-SHA256) and v1a (ed25519).

standardwebhooks.com, "Specification". The signed text is `<id>.<time>.<body>`. A secret is `whsec_` and base64 for v1;
a public key is `whpk_` and base64 for v1a. Some providers put `v1,` before it (Supabase) or show only the base64. Svix
sends the same as `svix-…` headers: scheme svix.
"""

import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.secrets import Secret, Secrets
from router.domain.units import Duration
from router.intake.verify.credentials import NO_SECRET
from router.intake.verify.headers import one_header
from router.intake.verify.signature import WRONG_SIGNATURE, encoded, resolve, signed_by_any, strict_base64
from router.intake.verify.times import TOLERANCE_SECONDS, check_time
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import (
    SenderProfile,
    SenderProof,
    SignedParts,
    Unsignable,
    Unverified,
    Verified,
    Verifier,
    VerifyFailure,
)

DEFAULTS: Mapping[str, Any] = {
    "dedupe": {"key": "headers.webhook-id", "window": "24h"},  # the specification's way to tell copies apart
}
PROFILE = SenderProfile(headers=("{headers}-id", "{headers}-timestamp", "{headers}-signature"))


def defaults_of(options: "Options") -> Mapping[str, Any]:
    """DEFAULTS for these header names."""
    return {"dedupe": {"key": f"headers.{options.headers}-id", "window": "24h"}}


SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, no secret
PUBLIC_PREFIX = "whpk_"
_NO_PRIVATE_KEY = f"only the sender has the key that signs; {PUBLIC_PREFIX}… is the public half, which can only verify"
_VERSION = re.compile(r"v[0-9]+[a-z]?")
_KEY_BYTES = 32  #: of an ed25519 public key
_BARE_BYTES = 16  #: least bytes of a key in bare base64; a shorter one is more likely a password that looks like base64
_MOST_SIGNATURES = 20  #: in one header; a rotation needs two


class Options(Base):
    """What the sender signs with."""

    secret: Secrets = Field(
        description="whsec_… or base64 (v1), or whpk_… (v1a, a public key); or a list for rotation."
    )
    headers: Literal["webhook", "svix"] = Field(
        default="webhook", description="What the headers' names begin with; `scheme: svix` says svix as well."
    )
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """Verifies id, time and body."""

    keys: tuple[bytes, ...]
    public_keys: tuple[Ed25519PublicKey, ...]
    headers: str = "webhook"
    tolerance: float = TOLERANCE_SECONDS
    verifies: bool = True

    @property
    def signed_parts(self) -> SignedParts:
        """See Verifier.signed_parts."""
        return SignedParts(frozenset({f"{self.headers}-id", f"{self.headers}-timestamp"}))

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:
        """See Verifier.verify."""
        values: list[str] = []
        for name in ("id", "timestamp", "signature"):
            value = one_header(inbound, f"{self.headers}-{name}")
            if isinstance(value, Unverified):
                return value
            values.append(value)
        identity, timestamp, signatures = values
        refused = check_time(timestamp, f"header {self.headers}-timestamp", self.tolerance, now)
        if refused is not None:
            return refused
        message = f"{identity}.{timestamp}.".encode() + inbound.body
        good = False
        parts = signatures.split(" ")
        if len(parts) > _MOST_SIGNATURES:
            return Unverified(VerifyFailure.MALFORMED, "there are too many signatures")
        for part in parts:
            version, _, text = part.partition(",")
            if not _VERSION.fullmatch(version) or not strict_base64(text):
                return Unverified(
                    VerifyFailure.MALFORMED, f"header {self.headers}-signature is not a list of version,base64"
                )
            good |= self._signed(version, text, message)
        return Verified(without_credentials(inbound)) if good else WRONG_SIGNATURE

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:
        """See Verifier.sign. The id is new, so that no message is a copy of another."""
        if not self.keys:
            return Unsignable(_NO_PRIVATE_KEY) if self.public_keys else NO_SECRET
        identity, timestamp = f"msg_{uuid.uuid4().hex}", str(now // 1000)
        digest = hmac.digest(self.keys[0], f"{identity}.{timestamp}.".encode() + inbound.body, "sha256")
        values = {"id": identity, "timestamp": timestamp, "signature": f"v1,{encoded(digest, 'base64')}"}
        return SenderProof(tuple((f"{self.headers}-{name}", value) for name, value in values.items()))

    def _signed(self, version: str, text: str, message: bytes) -> bool:
        if version == "v1":
            return signed_by_any(self.keys, "sha256", message, text, "base64")
        return version == "v1a" and any(is_signed(key, strict_base64(text) or b"", message) for key in self.public_keys)


def is_signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the private half of an ed25519 key made the signature (RFC 8032)."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    return verifier(options.secret, options.headers, options.tolerance, build)


def verifier(secrets: Secrets, headers: str, tolerance: float, build: Build) -> StandardWebhooks:
    """The verifier for these secrets and header names. Faults go to the build."""
    keys: list[bytes] = []
    public_keys: list[Ed25519PublicKey] = []
    for i, secret in enumerate(resolve(secrets, build)):
        if not secret.is_set:
            continue
        text = secret.reveal().removeprefix("v1a,")
        if text.startswith(PUBLIC_PREFIX):
            key = strict_base64(text.removeprefix(PUBLIC_PREFIX))
            if key is None or len(key) != _KEY_BYTES:
                build.fault(f"{secret.name} is not {PUBLIC_PREFIX} and the base64 of {_KEY_BYTES} bytes", "secret", i)
            else:
                public_keys.append(Ed25519PublicKey.from_public_bytes(key))
        else:
            keys += shared_key(secret, build, i)
    return StandardWebhooks(tuple(keys), tuple(public_keys), headers, tolerance)


def shared_key(secret: Secret, build: Build, place: int) -> list[bytes]:
    """The one key in a `whsec_…` secret, perhaps after `v1,`, or in bare base64. Another text is a fault, and gives no
    key."""
    text = secret.reveal().removeprefix("v1,")
    key = strict_base64(text.removeprefix(SECRET_PREFIX))
    if key and (text.startswith(SECRET_PREFIX) or len(key) >= _BARE_BYTES):
        return [key]
    build.fault(f"{secret.name} is not {SECRET_PREFIX} and base64; copy it as the sender shows it", "secret", place)
    return []
