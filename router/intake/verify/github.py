"""Scheme github: HMAC-SHA256 of the raw body in X-Hub-Signature-256.

docs.github.com, "Validating webhook deliveries". The older X-Hub-Signature (SHA-1) is not looked at. GitHub signs no
time, so a recorded delivery can be sent again; its delivery id catches that for as long as dedupe remembers it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from router.domain.secrets import Secrets
from router.intake.verify.signature import key_bytes, resolve
from router.intake.verify.signed_header import HmacHeader, SignedHeader
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, Verifier

DEFAULTS: Mapping[str, Any] = {
    "json_field": "payload",  # a webhook may be set to send its JSON as a form field
    "dedupe": {"key": "headers.X-GitHub-Delivery", "window": "10m"},
}
PROFILE = SenderProfile(
    event="X-GitHub-Event", ids=("X-GitHub-Delivery",), headers=("X-GitHub-*", "X-Hub-Signature", "X-Hub-Signature-256")
)


class Options(Base):
    """What GitHub's webhook settings call the secret."""

    secret: Secrets = Field(description="The webhook's secret, or a list of them for rotation.")


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    return HmacHeader(key_bytes(resolve(options.secret, build)), SignedHeader("X-Hub-Signature-256", prefix="sha256="))
