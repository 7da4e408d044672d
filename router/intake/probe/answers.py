"""The answers to probes: a constant, the value of a field, or its HMAC."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from router.domain.reply import Reply
from router.intake.probe.options import ConstantOptions
from router.intake.probe.probed_request import MISSING, ProbedRequest, Read
from router.plugins.scheme import Unverified, VerifyFailure

#: values that may be echoed: short, without control characters and without markup in other charsets
_ECHOED = re.compile(r"[ -~]{1,1024}")
SIGNED_VALUE = re.compile(r"[A-Za-z0-9+/=_-]{1,128}")  #: the values that an `hmac` answer signs
NOSNIFF = ("X-Content-Type-Options", "nosniff")
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ConstantAnswer:
    """The same answer each time."""

    reply: Reply

    def to(self, request: ProbedRequest) -> Reply | Unverified | None:  # noqa: ARG002 - the common signature
        """The reply."""
        return self.reply


@dataclass(frozen=True, slots=True)
class ValueAnswer:
    """The value of a field, its HMAC, or both."""

    field: str
    read: Read
    key: bytes | None = None  #: for an HMAC
    signs: bool = False  #: it answers with an HMAC
    json: Mapping[str, str] | None = None
    header: str | None = None

    def to(self, request: ProbedRequest) -> Reply | Unverified | None:
        """The reply. None if the field is missing: then the request is not a probe."""
        value = self.read(request)
        if value is MISSING:
            return None
        allowed = SIGNED_VALUE if self.signs else _ECHOED
        if not isinstance(value, str) or not allowed.fullmatch(value):
            return Unverified(VerifyFailure.MALFORMED, f"{self.field} of the probe is not a text that can be answered")
        if not self.signs:
            return self._reply({"value": value}, value)
        if self.key is None:
            return Unverified(VerifyFailure.MISMATCH, "the probe's answer needs a secret, which is not set")
        signature = hmac.digest(self.key, value.encode(), "sha256").hex()
        return self._reply({"value": value, "hmac": signature}, signature)

    def _reply(self, values: Mapping[str, str], text: str) -> Reply:
        if self.header is not None:
            return Reply(200, b"", None, ((self.header, text), NOSNIFF))
        if self.json is not None:
            body = orjson.dumps({key: values[word] for key, word in self.json.items()})
            return Reply(200, body, "application/json", (NOSNIFF,))
        return Reply(200, text.encode(), _TEXT, (NOSNIFF,))


def constant_reply(options: ConstantOptions) -> Reply:
    """The reply of a constant answer."""
    headers = (*options.headers.items(), NOSNIFF)
    if options.body is not None:
        return Reply(options.status, options.body.encode(), _TEXT, headers)
    if options.json_ is not None:
        return Reply(options.status, orjson.dumps(options.json_), "application/json", headers)
    return Reply(options.status, b"", None, headers)


Answer = ConstantAnswer | ValueAnswer
