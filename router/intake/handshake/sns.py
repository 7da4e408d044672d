"""Handshake sns: confirmations of subscriptions, verified like every message. They never become events.

docs.aws.amazon.com, "Amazon SNS message and JSON formats". Scheme `sns` visits SubscribeURL only with `confirm: true`.
"""

from typing import Any

from router.domain.reply import Reply
from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.handshake import Handshake
from router.plugins.options import Options as Base
from router.plugins.scheme import Unverified

_CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")


class Options(Base):
    """It has no options."""


class Sns:
    """Answers confirmations with an empty 200."""

    methods: tuple[str, ...] = ()

    def before_verification(self, inbound: Inbound) -> Reply | Unverified | None:  # noqa: ARG002 - the common signature
        """See Handshake.before_verification."""
        return None

    def after_verification(self, inbound: Inbound, payload: Any) -> Reply | None:  # noqa: ARG002 - the common signature
        """See Handshake.after_verification."""
        if isinstance(payload, dict) and payload.get("Type") in _CONFIRMATIONS:
            return Reply(200, b"", None)
        return None


def compile(options: Options, build: Build) -> Handshake:  # noqa: A001, ARG001 - the name every such module has
    """Compile the options to a handshake."""
    return Sns()
