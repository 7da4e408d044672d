"""Handshake slack: a signed `url_verification` event, answered with its challenge, and `ssl_check`, answered 200.

docs.slack.dev, "url_verification event": Slack sends it when a request URL is entered, signed like every event. "Slash
commands": now and then Slack tests the certificate with an unsigned request that holds `ssl_check=1` and a token. An
unsigned request counts as such a test only when it holds nothing else, so it can't look like an event.
"""

import re
from typing import Any

import orjson

from router.domain.reply import Reply
from router.domain.request import Inbound
from router.payload.body import media_type_of
from router.payload.form import MEDIA_TYPE
from router.plugins.build import Build
from router.plugins.handshake import Handshake
from router.plugins.options import Options as Base
from router.plugins.scheme import Unverified

_SIGNATURE = "x-slack-signature"
_WITH = r"token=[A-Za-z0-9_-]{0,128}"
_SSL_CHECK = re.compile(rf"ssl_check=1(&{_WITH})?|{_WITH}&ssl_check=1")
_KEYS = frozenset({"ssl_check", "token"})
_LONGEST = 256  #: bytes of such a form


class Options(Base):
    """It has no options."""


class Slack:
    """Answers ssl_check and url_verification."""

    methods: tuple[str, ...] = ("GET",)  #: for ssl_check alone

    def before_verification(self, inbound: Inbound) -> Reply | Unverified | None:
        """See Handshake.before_verification. A request with a signature is verified in any case."""
        headers = inbound.named
        if _SIGNATURE in headers:
            return None
        if inbound.method == "GET":
            asked = inbound.query if not inbound.body else ""
        else:
            is_form = [media_type_of(value) for value in headers.all("content-type")] == [MEDIA_TYPE]
            asked = inbound.body.decode("latin-1") if is_form and len(inbound.body) <= _LONGEST else ""
        return _certified() if _SSL_CHECK.fullmatch(asked) else None

    def after_verification(self, inbound: Inbound, payload: Any) -> Reply | None:  # noqa: ARG002 - the common signature
        """See Handshake.after_verification."""
        if not isinstance(payload, dict):
            return None
        if payload.get("ssl_check") == "1" and payload.keys() <= _KEYS:
            return _certified()
        if payload.get("type") != "url_verification":
            return None
        challenge = payload.get("challenge")
        return Reply(200, orjson.dumps({"challenge": challenge})) if isinstance(challenge, str) else None


def _certified() -> Reply:
    return Reply(200, b"", None)


def compile(options: Options, build: Build) -> Handshake:  # noqa: A001, ARG001 - the name every such module has
    """Compile the options to a handshake."""
    return Slack()
