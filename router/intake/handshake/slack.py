"""Handshake slack: a signed `url_verification` event, answered with its challenge.

docs.slack.dev, "url_verification event". It comes when a request URL is entered, signed as every event is.
"""

from typing import Any

import orjson

from router.model import Inbound, Reply
from router.plugins import Build, Handshake, Refused
from router.plugins import Options as Base


class Options(Base):
    """Nothing to say."""


class Slack:
    """Answers url_verification."""

    methods: tuple[str, ...] = ()

    def before(self, inbound: Inbound) -> Reply | Refused | None:  # noqa: ARG002 - the common signature
        """See Handshake.before."""
        return None

    def after(self, payload: Any) -> Reply | None:
        """See Handshake.after."""
        if not isinstance(payload, dict) or payload.get("type") != "url_verification":
            return None
        challenge = payload.get("challenge")
        return Reply(200, orjson.dumps({"challenge": challenge})) if isinstance(challenge, str) else None


def compile(options: Options, build: Build) -> Handshake:  # noqa: A001, ARG001 - the name every such module has
    """Options in, Handshake out."""
    return Slack()
