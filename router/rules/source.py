"""An intake path, and how its senders are verified."""

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
        """The values it selects, in document order; empty when it is missing. Raises EvaluationError."""
        ...


@dataclass(frozen=True, slots=True)
class Dedupe:
    """What makes two requests of one source copies of the same event, and for how long."""

    field: Field
    window: float  #: seconds


@dataclass(frozen=True, slots=True)
class Source:
    """An intake path plus how its senders are verified."""

    name: str
    path: str  #: absolute, for example /hooks/github
    verifier: Verifier
    scheme: str = "none"  #: the name of how its senders are verified
    headers: frozenset[str] = frozenset()  #: globs of those that the scheme's provider sends, in lower case
    methods: tuple[str, ...] = ("POST",)
    max_body: int = 25 * 1024 * 1024  #: bytes
    allow_ips: tuple[Network, ...] = ()  #: empty: every address
    dedupe: Dedupe | None = None
    json_field: str | None = None  #: form field that holds JSON
    parse: Literal["json", "form", "text"] | None = None  #: what every body is, whatever its content type says
    respond: Reply | None = None
    handshake: Handshake | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  #: in force, for people; secrets by name
