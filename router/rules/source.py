"""A source: the path that senders post to, and how they are verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from router.domain.events import ParsedEvent
from router.domain.networks import Network
from router.domain.reply import Reply
from router.plugins.handshake import Handshake
from router.plugins.scheme import Verifier


class Field(Protocol):
    """A compiled field: `source`, `headers.X`, `$.a[*].b` …"""

    @property
    def text(self) -> str:
        """The field as it was written."""
        ...

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """The values of the field, in document order; empty if it is missing. Raises EvaluationError."""
        ...


@dataclass(frozen=True, slots=True)
class Dedupe:
    """Two events of a source with the same value of `field` within `window` are copies of one."""

    field: Field
    window: float  #: seconds


@dataclass(frozen=True, slots=True)
class Source:
    """A source of the rules file."""

    name: str
    path: str  #: absolute, for example /hooks/github
    verifier: Verifier
    scheme: str = "none"  #: the name of the verification scheme
    preset: str | None = None  #: of a provider that can't be verified
    signs_decoded: bool = False  #: of a compressed body the decoded bytes are signed
    headers: frozenset[str] = frozenset()  #: globs of the headers that the scheme's provider sends, in lower case
    methods: tuple[str, ...] = ("POST",)
    max_body: int = 25 * 1024 * 1024  #: bytes
    allow_ips: tuple[Network, ...] = ()  #: empty: all addresses
    dedupe: Dedupe | None = None
    json_field: str | None = None  #: form field that holds JSON
    parse: Literal["json", "form", "multipart", "xml", "text"] | None = None  #: the format of every body
    respond: Reply | None = None
    handshake: Handshake | None = None
    settings: Mapping[str, Any] = field(
        default_factory=dict, repr=False
    )  #: settings in force, for display; secrets by name
    is_signed: bool = field(init=False)  #: a signature covers the body

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_signed", self.verifier.signed_parts is not None)
