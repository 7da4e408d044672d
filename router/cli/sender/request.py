"""The request that a provider would send to a source: headers, ids of a new event, signature."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from router import __version__
from router.domain.headers import HEADER_NAME
from router.domain.request import Inbound
from router.payload.body import usual_type
from router.plugins.scheme import SenderProfile, SenderProof, Unsignable
from router.rules.path_pattern import encoded
from router.rules.source import Source

FORM_TYPE = "application/x-www-form-urlencoded"
_MASK = "<secret>"
_CONNECTION_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_VALUE = re.compile(r"[\t -~\xa0-\xff]*")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request, ready to be sent."""

    inbound: Inbound  #: as the daemon would receive it, without the signature
    signed: SenderProof

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """All headers except those of the connection."""
        return self.inbound.headers + self.signed.headers

    @property
    def path(self) -> str:
        """The path with the query."""
        return self._path(self.signed.query)

    @property
    def masked_path(self) -> str:
        """`path`, with a credential masked."""
        name, equals, _ = self.signed.query.partition("=")
        return self._path(name + equals + _MASK if equals and self.signed.is_credential else self.signed.query)

    @property
    def masked_headers(self) -> list[tuple[str, str]]:
        """`headers`, with a credential masked; a signature does not reveal its secret."""
        masked = [(name, _MASK if self.signed.is_credential else value) for name, value in self.signed.headers]
        return [*self.inbound.headers, *masked]

    def _path(self, added: str) -> str:
        query = "&".join(part for part in (self.inbound.query, added) if part)
        path = encoded(self.inbound.path)
        return f"{path}?{query}" if query else path


def signed_request(
    source: Source,
    profile: SenderProfile,
    body: bytes,
    headers: Sequence[tuple[str, str]],
    query: str,
    now: int,
    *,
    content_type: str | None = None,
    event: str | None = None,
    method: str | None = None,
) -> SignedRequest | Unsignable:
    """The request that the source's sender would make at `now` (ms).

    `headers` come from the user. They replace headers of the same names.
    """
    names = {name.lower() for name, _ in headers}
    sent = [item for item in headers if item[0].lower() != "content-type" or content_type is None]
    if content_type is not None or "content-type" not in names:
        sent.insert(0, ("Content-Type", content_type or usual_type_of(profile, body)))
    added = [("User-Agent", f"webhook-router-send/{__version__}")]
    added += [(profile.event, event)] if profile.event and event is not None else []
    added += [(name, str(uuid.uuid4())) for name in profile.ids]
    sent += [item for item in added if item[0].lower() not in names]
    method = method or source.methods[0]
    inbound = Inbound(source.name, method, source.path, query, tuple(sent), body, "", now)
    signed = source.verifier.sign(inbound, now)
    if isinstance(signed, Unsignable):
        return signed
    kept = tuple(item for item in signed.headers if item[0].lower() not in names)
    return SignedRequest(inbound, SenderProof(kept, signed.query, signed.is_credential))


def header_fault(name: str, value: str) -> str | None:
    """Why this header can't be sent. None if it can."""
    if not HEADER_NAME.fullmatch(name):
        return "expected a header name of letters, digits and -"
    if name.lower() in _CONNECTION_HEADERS:
        return f"{name} belongs to the connection; the command sets it by itself"
    if not _VALUE.fullmatch(value):
        return f"the value of {name} has characters that no header can carry"
    return None


def usual_type_of(profile: SenderProfile, body: bytes) -> str:
    """The content type that the provider usually sends with such a body."""
    looks_like_json = body.lstrip().startswith((b"{", b"[", b'"'))
    found = usual_type(body)
    return FORM_TYPE if profile.form and body and not looks_like_json and found == "application/json" else found
