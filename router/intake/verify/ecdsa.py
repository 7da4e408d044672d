"""Scheme ecdsa: a signature on an elliptic curve over the text of `signed`, in a header (FIPS 186-5, SHA-256).

The key is public, so the file may contain it: as PEM, or as base64 of its DER form (SubjectPublicKeyInfo, RFC 5480).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from pydantic import Field

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.secrets import Secrets
from router.intake.verify.signature import WRONG_SIGNATURE, resolve, strict_base64
from router.intake.verify.signed_header import SignedHeader
from router.intake.verify.signed_options import SignedHeaderOptions, signed_header
from router.plugins.build import Build
from router.plugins.scheme import SenderProfile, SignedParts, Unsignable, Unverified, Verified, Verifier, VerifyFailure

DEFAULTS: Mapping[str, Any] = {}
PROFILE = SenderProfile(headers=("{header}", "{timestamp_header}"))
Form = Literal["der", "raw"]


class Options(SignedHeaderOptions):
    """How the sender signs."""

    secret: Secrets | None = Field(default=None, description="The public key as a secret, or a list of them.")
    public_key: str | None = Field(default=None, description="The public key itself; either this or secret.")
    form: Form = Field(default="der", description="Of the signature below its base64: der, or raw (r and s).")


@dataclass(frozen=True, slots=True)
class EcdsaHeader:
    """Verifies a header that carries an ECDSA signature in base64."""

    keys: tuple[EllipticCurvePublicKey, ...]
    signed: SignedHeader
    form: Form = "der"
    verifies: bool = True

    @property
    def signed_parts(self) -> SignedParts:
        """See Verifier.signed_parts."""
        return self.signed.message.coverage(self.signed.timestamp_header)

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:
        """See Verifier.verify."""
        found = self.signed.read(inbound, now)
        if isinstance(found, Unverified):
            return found
        message, signatures = found
        good = False
        for text in signatures:
            signature = self._der(strict_base64(text))
            if signature is None:
                return Unverified(VerifyFailure.MALFORMED, f"header {self.signed.header} is not {self.form} in base64")
            good |= any(is_signed(key, signature, message) for key in self.keys)
        return Verified(without_credentials(inbound)) if good else WRONG_SIGNATURE

    def sign(self, inbound: Inbound, now: int) -> Unsignable:  # noqa: ARG002 - the common signature
        """See Verifier.sign."""
        return Unsignable(
            "only the sender has the key that signs; the key here is its public half, which can only verify"
        )

    def _der(self, signature: bytes | None) -> bytes | None:
        if not signature or self.form == "der":
            return signature or None
        half = len(signature) // 2
        if len(signature) % 2 or half > 66:  # 66 bytes: P-521
            return None
        return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def is_signed(key: EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the private half of the key made the signature, given as DER."""
    try:
        key.verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    if (options.secret is None) == (options.public_key is None):
        build.fault("expected exactly one of secret and public_key")
    keys: list[EllipticCurvePublicKey] = []
    texts = [(options.public_key, "public_key", ("public_key",))] if options.public_key is not None else []
    if options.secret is not None:
        found = resolve(options.secret, build)
        texts += [(one.reveal(), one.name, ("secret", i)) for i, one in enumerate(found) if one.is_set]  # type: ignore[misc]
    for text, name, place in texts:
        key = _public_key(text or "")
        if key is None:
            build.fault(f"{name} is not a public key of an elliptic curve, as PEM or base64", *place)
        else:
            keys.append(key)
    return EcdsaHeader(tuple(keys), signed_header(options, build), options.form)


def _public_key(text: str) -> EllipticCurvePublicKey | None:
    try:
        if "-----BEGIN" in text:
            key = load_pem_public_key(text.encode())
        else:
            key = load_der_public_key(base64.b64decode(text, validate=True))
    except Exception:  # noqa: BLE001 - the library raises errors of many kinds
        return None
    return key if isinstance(key, EllipticCurvePublicKey) else None
