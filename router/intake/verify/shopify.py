"""Scheme shopify: HMAC-SHA256 of the raw body, in base64, in X-Shopify-Hmac-SHA256.

shopify.dev, "Deliver webhooks through HTTPS". The key is the app's client secret. X-Shopify-Webhook-Id stays the same
when Shopify repeats a delivery; X-Shopify-Event-Id may be shared by deliveries of several topics and would lose some.
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
    "dedupe": {"key": "headers.X-Shopify-Webhook-Id", "window": "24h"},  # it repeats for 4 hours
}
PROFILE = SenderProfile(event="X-Shopify-Topic", ids=("X-Shopify-Webhook-Id",), headers=("X-Shopify-*",))


class Options(Base):
    """What Shopify signs with."""

    secret: Secrets = Field(description="The app's client secret, or a list of them for rotation.")


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    return HmacHeader(
        key_bytes(resolve(options.secret, build)), SignedHeader("X-Shopify-Hmac-SHA256"), encoding="base64"
    )
