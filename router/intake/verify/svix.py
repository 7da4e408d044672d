"""Scheme svix, with the names clerk and resend: Standard Webhooks under Svix's header names.

docs.svix.com, "Verifying webhooks manually"; clerk.com/docs, "Sync Clerk data to your app with webhooks"; and
resend.com/docs, "Verify webhooks requests". All three send `svix-id`, `svix-timestamp` and `svix-signature`; the id
stays the same when a message is sent again.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from router.domain.secrets import Secrets
from router.domain.units import Duration
from router.intake.verify.standard_webhooks import verifier
from router.intake.verify.times import TOLERANCE_SECONDS
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, Verifier

DEFAULTS: Mapping[str, Any] = {
    # Svix repeats a message for 28 hours; one that is sent again by hand later is to be taken.
    "dedupe": {"key": "headers.svix-id", "window": "28h"},
}
PROFILE = SenderProfile(headers=("svix-id", "svix-timestamp", "svix-signature"))


class Options(Base):
    """What the sender signs with."""

    secret: Secrets = Field(description="The endpoint's signing secret, whsec_…, or a list of them for rotation.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    return verifier(options.secret, "svix", options.tolerance, build)
