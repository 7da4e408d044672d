"""Scheme paypal-certificate: RSA over `<id>|<time>|<webhook id>|<CRC-32 of the body>`, with a certificate of PayPal.

developer.paypal.com, "Webhooks: integration". The certificate is fetched only from PayPal's hosts. Only a checksum
covers the body: anybody with one signed request can make another body with the same CRC-32.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import Field

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.units import Duration
from router.intake.verify.certificates import Certificates
from router.intake.verify.headers import one_header
from router.intake.verify.signature import WRONG_SIGNATURE, strict_base64
from router.intake.verify.times import check_time
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import (
    SenderProfile,
    SignedParts,
    Unsignable,
    Unverified,
    Verdict,
    Verified,
    Verifier,
    VerifyFailure,
)

DEFAULTS: Mapping[str, Any] = {"dedupe": {"key": "$.id", "window": "72h"}}  # PayPal repeats an event for three days
PROFILE = SenderProfile(ids=("Paypal-Transmission-Id",), headers=("Paypal-*",))
TOLERANCE_SECONDS = 259_200.0  #: three days: the documentation does not say whether a repeated event gets a new time
ALGORITHM = "SHA256withRSA"
_HOSTS = frozenset({"api.paypal.com", "api-m.paypal.com"})
_SANDBOX_HOSTS = frozenset({"api.sandbox.paypal.com", "api-m.sandbox.paypal.com"})
_CERTIFICATE_PATH = re.compile(r"/v1/notifications/certs/CERT-[A-Za-z0-9-]{1,100}")
_WEBHOOK_ID = re.compile(r"[A-Za-z0-9]{1,50}")
_TRANSMISSION_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_HEADERS = ("Id", "Time", "Sig")
_PARTS = SignedParts(frozenset({"paypal-transmission-id", "paypal-transmission-time"}))


class Options(Base):
    """The webhook whose events are accepted."""

    webhook_id: str = Field(description="The id that PayPal shows for the webhook, such as 8PT597110X687430LKGECATA.")
    sandbox: bool = Field(default=False, description="Accept events of PayPal's sandbox, and only these.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")


@dataclass(frozen=True, slots=True)
class PayPal:
    """Verifies events of one webhook."""

    webhook_id: str
    hosts: frozenset[str]
    tolerance: float = TOLERANCE_SECONDS
    certificates: Certificates = field(default_factory=Certificates)
    verifies: bool = True
    signed_parts: SignedParts = _PARTS

    def verify(self, inbound: Inbound, now: int) -> Verdict:
        """See Verifier.verify."""
        read = _transmission(inbound)
        if isinstance(read, Unverified):
            return read
        transmission_id, sent, signature, address = read
        if not is_certificate_address(address, self.hosts):
            return Unverified(
                VerifyFailure.MISMATCH, "header Paypal-Cert-Url is not an address of PayPal's certificates"
            )
        refused = check_time(sent, "header Paypal-Transmission-Time", self.tolerance, now, "iso8601")
        if refused is not None:
            return refused
        key = self.certificates.get(address)
        if not isinstance(key, RSAPublicKey):
            return key
        message = f"{transmission_id}|{sent}|{self.webhook_id}|{zlib.crc32(inbound.body)}"
        try:
            key.verify(signature, message.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            return WRONG_SIGNATURE
        return Verified(without_credentials(inbound))

    def sign(self, inbound: Inbound, now: int) -> Unsignable:  # noqa: ARG002 - the common signature
        """See Verifier.sign."""
        return Unsignable("only PayPal has the key that signs")


def is_certificate_address(address: str, hosts: frozenset[str]) -> bool:
    """Whether this is an address of PayPal's certificates."""
    plain = address.isascii() and address.isprintable() and not set(address) & set(" \\?#")
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return plain and parts.scheme == "https" and parts.netloc in hosts and bool(_CERTIFICATE_PATH.fullmatch(parts.path))


def _transmission(inbound: Inbound) -> tuple[str, str, bytes, str] | Unverified:
    """Id, time, signature and the certificate's address."""
    found = []
    for name in (*(f"Paypal-Transmission-{one}" for one in _HEADERS), "Paypal-Cert-Url", "Paypal-Auth-Algo"):
        value = one_header(inbound, name)
        if isinstance(value, Unverified):
            return value
        found.append(value)
    transmission_id, sent, written, address, algorithm = found
    if algorithm != ALGORITHM:
        return Unverified(VerifyFailure.MALFORMED, f"header Paypal-Auth-Algo is not {ALGORITHM}")
    if not _TRANSMISSION_ID.fullmatch(transmission_id):
        return Unverified(VerifyFailure.MALFORMED, "header Paypal-Transmission-Id is not an id")
    signature = strict_base64(written)
    if not signature:
        return Unverified(VerifyFailure.MALFORMED, "header Paypal-Transmission-Sig is not base64")
    return transmission_id, sent, signature, address


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    if not _WEBHOOK_ID.fullmatch(options.webhook_id):
        build.fault("expected the webhook's id as PayPal shows it, such as 8PT597110X687430LKGECATA", "webhook_id")
    return PayPal(options.webhook_id, _SANDBOX_HOSTS if options.sandbox else _HOSTS, options.tolerance)
