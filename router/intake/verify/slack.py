"""Scheme slack: HMAC-SHA256 of `v0:<time>:<body>` in X-Slack-Signature.

docs.slack.dev, "Verifying requests from Slack". Slack insists on a 200 within 3 seconds; an answer with a body would be
shown to the user of a slash command, so the default answer is empty.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from router.domain.secrets import Secrets
from router.domain.units import Duration
from router.intake.verify.message import Message
from router.intake.verify.signature import key_bytes, resolve
from router.intake.verify.signed_header import HmacHeader, SignedHeader
from router.intake.verify.times import TOLERANCE_SECONDS
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, Verifier

DEFAULTS: Mapping[str, Any] = {
    "json_field": "payload",  # interactions send their JSON as a form field
    "dedupe": {"key": "$.event_id", "window": "2h"},  # an event is repeated after 1 and 5 minutes, and once an hour
    "respond": {"status": 200},
    "handshake": "slack",
}
PROFILE = SenderProfile(form=True, headers=("X-Slack-*",))  # interactions and slash commands


class Options(Base):
    """What Slack signs with."""

    secret: Secrets = Field(description="The app's signing secret, or a list of them for rotation.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    return HmacHeader(
        key_bytes(resolve(options.secret, build)),
        SignedHeader(
            "X-Slack-Signature",
            Message.of("v0:{timestamp}:{body}"),
            prefix="v0=",
            timestamp_header="X-Slack-Request-Timestamp",
            tolerance=options.tolerance,
        ),
    )
