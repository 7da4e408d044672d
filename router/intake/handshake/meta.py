"""Handshake meta: a GET with a token of your choice and a challenge, answered with the challenge.

developers.facebook.com, "Webhooks: Getting started" (Facebook, Instagram, WhatsApp, Messenger). The events are POSTs
that scheme `hmac` verifies: header X-Hub-Signature-256, prefix `sha256=`.
"""

import hmac
import re
from typing import Any
from urllib.parse import parse_qsl

from pydantic import Field

from router.domain.reply import Reply
from router.domain.request import Inbound
from router.domain.secrets import OneSecret
from router.plugins.build import Build
from router.plugins.handshake import Handshake
from router.plugins.options import Options as Base
from router.plugins.scheme import Unverified, VerifyFailure

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{1,256}")
_MOST_PARAMETERS = 20


class Options(Base):
    """What was entered beside the callback URL."""

    verify_token: OneSecret = Field(description="The verify token that was entered beside the callback URL.")


class Meta:
    """Answers hub.challenge."""

    methods: tuple[str, ...] = ("GET",)

    def __init__(self, token: bytes | None) -> None:
        self._token = token

    def before_verification(self, inbound: Inbound) -> Reply | Unverified | None:
        """See Handshake.before_verification."""
        if inbound.method != "GET":
            return None
        try:
            pairs = parse_qsl(inbound.query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            return Unverified(VerifyFailure.MALFORMED, "the query has too many parameters")
        given = dict(pairs)
        if "hub.mode" not in given:
            return None
        if given["hub.mode"] != "subscribe" or len(given) != len(pairs):
            return Unverified(VerifyFailure.MALFORMED, "hub.mode is not subscribe, or a parameter was sent twice")
        sent = given.get("hub.verify_token", "").encode("utf-8", "surrogateescape")
        if self._token is None or not hmac.compare_digest(sent, self._token):
            return Unverified(VerifyFailure.MISMATCH, "hub.verify_token is not the verify token")
        challenge = given.get("hub.challenge", "")
        if not _CHALLENGE.fullmatch(challenge):
            return Unverified(VerifyFailure.MALFORMED, "hub.challenge is missing or not letters and digits")
        return Reply(200, challenge.encode(), "text/plain; charset=utf-8")

    def after_verification(self, inbound: Inbound, payload: Any) -> Reply | None:  # noqa: ARG002 - the common signature
        """See Handshake.after_verification."""
        return None


def compile(options: Options, build: Build) -> Handshake:  # noqa: A001 - the name every such module has
    """Compile the options to a handshake. Faults go to the build."""
    token = build.secret(options.verify_token, "verify_token")
    return Meta(token.reveal_bytes() if token.is_set else None)
