"""Handshake discord: signed PINGs of interactions and of webhook events.

docs.discord.com, "Interactions: Overview" (type 1, answered {"type": 1}) and "Webhook Events" (type 0, answered 204). A
webhook event with content is of type 1 too, but has an `event`.
"""

from typing import Any

import orjson

from router.domain.reply import Reply
from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.handshake import Handshake
from router.plugins.options import Options as Base
from router.plugins.scheme import Unverified


class Options(Base):
    """It has no options."""


class Discord:
    """Answers PINGs."""

    methods: tuple[str, ...] = ()

    def before_verification(self, inbound: Inbound) -> Reply | Unverified | None:  # noqa: ARG002 - the common signature
        """See Handshake.before_verification."""
        return None

    def after_verification(self, inbound: Inbound, payload: Any) -> Reply | None:  # noqa: ARG002 - the common signature
        """See Handshake.after_verification."""
        if not isinstance(payload, dict) or "event" in payload or type(payload.get("type")) is not int:
            return None
        if payload["type"] == 1:
            return Reply(200, orjson.dumps({"type": 1}))
        return Reply(204, b"", "application/json") if payload["type"] == 0 else None


def compile(options: Options, build: Build) -> Handshake:  # noqa: A001, ARG001 - the name every such module has
    """Compile the options to a handshake."""
    return Discord()
