"""Scheme twilio: HMAC-SHA1 of the public URL and the form's fields, in X-Twilio-Signature.

twilio.com/docs, "Webhooks security". The URL is the one that Twilio was told, with its query. Behind a proxy the daemon
can't know it, so `url` gives it. For a body that is not a form, the URL's parameter bodySHA256 has its SHA-256. Twilio
signs no time, and no id that all its products send. So this scheme has no default dedupe.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_serializer

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.secrets import Secrets
from router.intake.verify.credentials import NO_SECRET
from router.intake.verify.headers import one_header
from router.intake.verify.signature import WRONG_SIGNATURE, encoded, key_bytes, resolve, signed_by_any
from router.payload.form import MEDIA_TYPE, is_form
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import (
    SenderProfile,
    SenderProof,
    SignedParts,
    Unsignable,
    Unverified,
    Verified,
    Verifier,
    VerifyFailure,
)

HEADER = "X-Twilio-Signature"
DEFAULTS: Mapping[str, Any] = {
    # Twilio treats an answer that is not TwiML as an error. An empty answer does nothing.
    "respond": {"status": 200, "body": "<Response/>", "content_type": "text/xml"},
}
PROFILE = SenderProfile(form=True, headers=("X-Twilio-*", "I-Twilio-*"))
_SIGNED = SignedParts(query=True)
_BODY_HASH = "bodySHA256"
_PORTS = {"https": 443, "http": 80}
_MOST_FIELDS = 1000  #: fields of a signed form; a message with media has some 60


class Options(Base):
    """The token that Twilio signs with, and the public URL."""

    secret: Secrets = Field(description="The account's auth token, or a list of them for rotation.")
    url: str = Field(description="The webhook's public URL as Twilio was told, without its query.")

    @field_serializer("url")
    def _shown_url(self, url: str) -> str:
        try:
            return _without_user(url)
        except ValueError:
            return url


@dataclass(frozen=True, slots=True)
class Twilio:
    """Verifies Twilio's signature."""

    keys: tuple[bytes, ...]
    urls: tuple[str, ...]  #: all URLs that Twilio may have signed; its products differ
    verifies: bool = True
    signed_parts: SignedParts = _SIGNED

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:  # noqa: ARG002 - the common signature
        """See Verifier.verify."""
        given = one_header(inbound, HEADER)
        if isinstance(given, Unverified):
            return given
        fields = self._signed_fields(inbound)
        if isinstance(fields, Unverified):
            return fields
        query, good = f"?{inbound.query}" if inbound.query else "", False
        for url in self.urls:
            good |= signed_by_any(self.keys, "sha1", (url + query + fields).encode(), given, "base64")
        return Verified(without_credentials(inbound)) if good else WRONG_SIGNATURE

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:  # noqa: ARG002 - the common signature
        """See Verifier.sign. A body that is not a form has its hash in the query, as Twilio does it."""
        if not self.keys:
            return NO_SECRET
        added = f"{_BODY_HASH}={hashlib.sha256(inbound.body).hexdigest()}" if _needs_hash(inbound) else ""
        query = "&".join(part for part in (inbound.query, added) if part)
        fields = self._signed_fields(replace(inbound, query=query))
        if isinstance(fields, Unverified):
            return Unsignable(fields.reason)
        message = f"{self.urls[0]}{'?' if query else ''}{query}{fields}".encode()
        return SenderProof(((HEADER, encoded(hmac.digest(self.keys[0], message, "sha1"), "base64")),), added)

    @staticmethod
    def _signed_fields(inbound: Inbound) -> str | Unverified:
        """The form's fields in their signed form; empty for a body whose hash is signed with the URL."""
        hashes = [value for name, value in parse_qsl(inbound.query, keep_blank_values=True) if name == _BODY_HASH]
        if hashes:
            actual = hashlib.sha256(inbound.body).hexdigest()
            if len(hashes) != 1 or not hmac.compare_digest(hashes[0].encode(), actual.encode()):
                return Unverified(VerifyFailure.MISMATCH, f"{_BODY_HASH} is not the hash of the body")
            return ""
        if not inbound.body:
            return ""
        if not _says_form(inbound):
            return Unverified(VerifyFailure.MISSING, f"a body that is not a form needs {_BODY_HASH} in the query")
        if not is_form(inbound.body):  # the fields are signed, not the bytes; these could be JSON with another meaning
            return Unverified(VerifyFailure.MALFORMED, "the body is not the form that its type says")
        try:
            pairs = parse_qsl(
                inbound.body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict",
                max_num_fields=_MOST_FIELDS,
            )  # fmt: skip
        except ValueError:
            return Unverified(VerifyFailure.MALFORMED, "the body is not the form that its type says")
        return "".join(name + value for name, value in sorted(set(pairs)))


def _needs_hash(inbound: Inbound) -> bool:
    if not inbound.body or any(name == _BODY_HASH for name, _ in parse_qsl(inbound.query, keep_blank_values=True)):
        return False
    return not _says_form(inbound)


def _says_form(inbound: Inbound) -> bool:
    types = inbound.named.all("content-type")
    return len(types) == 1 and types[0].partition(";")[0].strip().lower() == MEDIA_TYPE


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _urls(url: str) -> list[str]:
    """All forms of the URL that Twilio may sign, the most usual first.

    Its documentation: user name and password are left out. The port is left out for calls over https and kept for
    others. Its own libraries also try the default port where the URL has none.
    """
    bare = _without_user(url)
    parts = urlsplit(bare)
    host = parts.netloc.removesuffix(f":{parts.port}") if parts.port is not None else parts.netloc
    with_port = f"{host}:{parts.port or _PORTS[parts.scheme]}"
    return list(dict.fromkeys([bare, *(parts._replace(netloc=n).geturl() for n in (host, with_port)), url]))


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    try:
        parts = urlsplit(options.url)
        good = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    urls: tuple[str, ...] = ()
    if not good or "?" in options.url or "#" in options.url or not options.url.isascii():
        build.fault("expected the webhook's public URL such as https://hooks.example.com/hooks/twilio, no query", "url")
    else:
        urls = tuple(_urls(options.url))
    return Twilio(key_bytes(resolve(options.secret, build)), urls)
