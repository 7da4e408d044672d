"""Scheme sns: messages of Amazon SNS, with a signature in their own JSON, made with a certificate of Amazon.

docs.aws.amazon.com, "Verifying the signatures of Amazon SNS messages" and "Amazon SNS message and JSON formats".
Anybody with an AWS account can have SNS sign a message, so `topics` lists whose messages are accepted. The certificate
is fetched only from hosts of SNS. A SubscriptionConfirmation becomes no event; it is confirmed only with `confirm:
true`.
"""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from pydantic import Field

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.units import Duration
from router.intake.verify.certificates import Certificates
from router.intake.verify.fetched import Fetch, fetch_url
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

DEFAULTS: Mapping[str, Any] = {
    # SNS repeats a message with the same id, by default for an hour.
    "dedupe": {"key": "$.MessageId", "window": "24h"},
    "handshake": "sns",
}
PROFILE = SenderProfile(headers=("x-amz-sns-*",))
TOLERANCE_SECONDS = 7200.0  #: SNS repeats a message for an hour by default, always with the time of the first try
_HOST = re.compile(r"sns\.[a-z0-9-]{1,40}\.amazonaws\.com(\.cn)?")
_CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[A-Za-z0-9_-]{1,100}\.pem")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
_SIGNED_KEYS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_OPTIONAL = frozenset({"Subject"})
_MAX_BODY = 1024 * 1024  #: SNS sends at most 256 KiB, and quoting in JSON may double it

_COVERS = SignedParts()

log = structlog.get_logger()


class Options(Base):
    """The topics whose messages are accepted."""

    topics: list[str] = Field(min_length=1, description="ARNs of the topics whose messages are accepted.")
    confirm: bool = Field(default=False, description="Whether a subscription to one of the topics is confirmed.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")


@dataclass(frozen=True, slots=True)
class Sns:
    """Verifies messages of SNS."""

    topics: frozenset[str]
    confirm: bool
    tolerance: float = TOLERANCE_SECONDS
    certificates: Certificates = field(default_factory=Certificates)
    fetch: Fetch = fetch_url
    verifies: bool = True
    signed_parts: SignedParts = _COVERS

    def verify(self, inbound: Inbound, now: int) -> Verdict:
        """See Verifier.verify."""
        message = _message(inbound.body)
        if isinstance(message, Unverified):
            return message
        if message.get("TopicArn") not in self.topics:
            return Unverified(VerifyFailure.MISMATCH, "the message is of another topic")
        address = str(message.get("SigningCertURL", ""))
        if not is_certificate_address(address):
            return Unverified(VerifyFailure.MISMATCH, "SigningCertURL is not an address of SNS's certificates")
        signature = strict_base64(str(message.get("Signature", "")))
        version = message.get("SignatureVersion")
        if not signature or version not in ("1", "2"):
            return Unverified(VerifyFailure.MALFORMED, "Signature or SignatureVersion is missing or unknown")
        refused = check_time(str(message["Timestamp"]), "Timestamp", self.tolerance, now, "iso8601")
        if refused is not None:
            return refused
        key = self.certificates.get(address)
        if not isinstance(key, RSAPublicKey):
            return key
        try:
            key.verify(signature, canonical(message), PKCS1v15(), SHA1() if version == "1" else SHA256())  # noqa: S303
        except InvalidSignature:
            return WRONG_SIGNATURE
        if message["Type"] == "SubscriptionConfirmation" and self.confirm:
            self._confirm(str(message["SubscribeURL"]))
        return Verified(without_credentials(inbound))

    def sign(self, inbound: Inbound, now: int) -> Unsignable:  # noqa: ARG002 - the common signature
        """See Verifier.sign."""
        return Unsignable("only Amazon has the key that signs")

    def _confirm(self, address: str) -> None:
        if not _is_host(address):
            log.warning("subscription not confirmed", reason="SubscribeURL is not an address of SNS")
            return
        threading.Thread(target=self._visit, args=(address,), name="confirm-sns", daemon=True).start()

    def _visit(self, address: str) -> None:
        try:
            self.fetch(address)
        except Exception as error:  # noqa: BLE001 - the end of a thread; SNS asks again
            log.warning("subscription not confirmed", reason=type(error).__name__)
        else:
            log.info("subscription confirmed")


def canonical(message: Mapping[str, Any]) -> bytes:
    """The text that SNS signs: the names and values of some keys, each on its own line."""
    keys = _SIGNED_KEYS[message["Type"]]
    return "".join(f"{key}\n{message[key]}\n" for key in keys if key in message).encode()


def is_certificate_address(address: str) -> bool:
    """Whether this is an address of Amazon's certificates."""
    return _is_host(address) and bool(_CERTIFICATE_PATH.fullmatch(urlsplit(address).path)) and "?" not in address


def _is_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    plain = address.isascii() and address.isprintable() and " " not in address and "\\" not in address
    return plain and parts.scheme == "https" and bool(_HOST.fullmatch(parts.netloc)) and not parts.fragment


def _message(body: bytes) -> Mapping[str, Any] | Unverified:
    wrong = Unverified(VerifyFailure.MALFORMED, "the body is not a message of SNS")
    if len(body) > _MAX_BODY:
        return wrong
    try:
        message = json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return wrong
    kind = message.get("Type") if isinstance(message, dict) else None
    keys = _SIGNED_KEYS.get(kind) if isinstance(kind, str) else None
    if keys is None:
        return wrong
    for key in keys:
        value = message.get(key)
        if not isinstance(value, str) and not (key in _OPTIONAL and key not in message):
            return wrong
    try:
        "".join(message[key] for key in keys if key in message).encode()
    except UnicodeEncodeError:
        return wrong
    # A line break ends a value. A value that contains one could pass for two values.
    if any("\n" in message[key] for key in keys if key not in ("Message", "Subject") and key in message):
        return wrong
    return message  # type: ignore[no-any-return]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without repeated keys. Another reader could take the unsigned one of two values."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key is repeated")
    return made


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    for i, topic in enumerate(options.topics):
        if not _TOPIC.fullmatch(topic):
            build.fault("expected an ARN such as arn:aws:sns:eu-central-1:123456789012:topic", "topics", i)
    return Sns(frozenset(options.topics), options.confirm, options.tolerance)
