"""A source: the path that senders post to, and how they are verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from router.domain.events import ParsedEvent
from router.domain.networks import Network
from router.domain.reply import Reply
from router.plugins.handshake import Handshake
from router.plugins.poll import Poll
from router.plugins.scheme import Verifier
from router.rules.path_pattern import PathPattern
from router.rules.redaction import Redaction


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
    path: str  #: absolute, for example /hooks/github, or with named parts, /hooks/{team}/deploy
    verifier: Verifier
    enabled: bool = True  #: False: requests to its path are answered 404
    scheme: str = "none"  #: the name of the verification scheme
    preset: str | None = None  #: the preset of a provider that can't be verified
    signs_decoded: bool = False  #: whether the signature covers the decoded bytes of a compressed body
    headers: frozenset[str] = frozenset()  #: globs of the headers that the scheme's provider sends, in lower case
    methods: tuple[str, ...] = ("POST",)
    max_body: int = 25 * 1024 * 1024  #: bytes
    allow_ips: tuple[Network, ...] = ()  #: empty: all addresses
    dedupe: Dedupe | None = None
    json_field: str | None = None  #: form field that holds JSON
    parse: Literal["json", "form", "multipart", "xml", "text"] | None = None  #: the format of every body
    keep: float | None = None  #: seconds that its events are kept, infinite for ever; None: the setting of `serve`
    redact: Redaction | None = None  #: what is removed from its events before they are stored
    show_payloads: bool = True  #: False: readers without further rights see none of its payloads
    respond: Reply | None = None
    handshake: Handshake | None = None
    pattern: PathPattern | None = None  #: for a path with named parts
    poll: Poll | None = None  #: for a source that the router polls; its path is only for its events
    settings: Mapping[str, Any] = field(
        default_factory=dict, repr=False
    )  #: settings in force, for display; secrets by name
    is_signed: bool = field(init=False)  #: a signature covers the body

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_signed", self.verifier.signed_parts is not None)


def placed(source: Source, params: Mapping[str, str]) -> Source:
    """The source with the constant path that these named parts give. Raises ValueError with the cure."""
    names = source.pattern.names if source.pattern is not None else ()
    for name, value in params.items():
        if name not in names:
            known = f"; it has {', '.join(names)}" if names else "; its path is constant"
            raise ValueError(f'the path of source "{source.name}" has no part "{name}"{known}')
        if not value or "/" in value or value in (".", ".."):
            raise ValueError(
                f'"{value}" can\'t stand for {{{name}}}; write one segment of the path, not empty, without /'
            )
    missing = [name for name in names if name not in params]
    if missing:
        raise ValueError(f'the path of source "{source.name}" is {source.path}, so give {missing[0]} a value')
    return source if source.pattern is None else replace(source, path=source.pattern.fill(params))
