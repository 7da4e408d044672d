"""Scheme github: HMAC-SHA256 of the raw body in X-Hub-Signature-256.

docs.github.com, "Validating webhook deliveries". The older X-Hub-Signature (SHA-1) is not looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from router.intake.verify.credentials import without_credentials
from router.intake.verify.signature import one_header, resolve, signed_by_any
from router.model import Inbound
from router.plugins import Build, Refused, Verified, Verifier
from router.plugins import Options as Base
from router.secrets import Secret, Secrets

HEADER = "X-Hub-Signature-256"
DEFAULTS: Mapping[str, Any] = {
    "json_field": "payload",  # a webhook may be set to send its JSON as a form field
    "dedupe": {"key": "headers.X-GitHub-Delivery", "window": "10m"},
}


class Options(Base):
    """What GitHub's webhook settings call the secret."""

    secret: Secrets = Field(description="The webhook's secret, or a list of them for rotation.")


@dataclass(frozen=True, slots=True)
class GitHub:
    """Verifies GitHub's signature."""

    secrets: tuple[Secret, ...]
    verifies: bool = True

    def verify(self, inbound: Inbound, now: int) -> Verified | Refused:  # noqa: ARG002 - the common signature
        """See Verifier.verify."""
        given = one_header(inbound, HEADER)
        if isinstance(given, Refused):
            return given
        if not given.startswith("sha256="):
            return Refused(f"header {HEADER} does not begin with sha256=")
        try:
            signature = bytes.fromhex(given.removeprefix("sha256="))
        except ValueError:
            return Refused(f"header {HEADER} is not hexadecimal")
        if not signed_by_any(self.secrets, "sha256", inbound.body, signature):
            return Refused("the signature does not fit the body and any secret")
        return Verified(without_credentials(inbound))


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    return GitHub(resolve(options.secret, build))
