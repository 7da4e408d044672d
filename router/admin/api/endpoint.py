"""One thing that can be asked of the admin listener: what it takes, what it answers, and what does it.

The table of all (`router.admin.api.routes`) is the one source of both the routes and the OpenAPI document.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from router.admin.api.bodies import Asked
from router.admin.api.parameters import Parameter, Values
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
BODY_BYTES = 1024 * 1024  #: of a request; 10,000 ids take 400 kB
RULES_BYTES = 16 * 1024 * 1024  #: of a rules file, as the loader takes it


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read."""

    path: Mapping[str, str]  #: what stands in the path's fields
    query: Values
    body: Any  #: of the model that the endpoint names; bytes for a rules file; none otherwise
    now: int  #: ms
    accept: str = ""  #: the header


Run = Callable[[DaemonHandle, Call], Reply]


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """What a status means."""

    description: str
    schema: str | Mapping[str, Any] | None = None  #: of its JSON; a text: the name of a shared one
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method on a path."""

    method: str
    path: str  #: with fields such as {id}, which holds no slash, and {name}, which may
    summary: str
    run: Run
    answers: Mapping[int, ResponseSpec]  #: when it is done
    parameters: tuple[Parameter, ...] | None = ()  #: of the query; none: whatever they are, they are not looked at
    body: type[Asked] | str | None = None  #: a model; or `yaml`: a rules file
    problems: Mapping[int, str] = field(default_factory=dict)  #: more than those that every endpoint may answer
    is_open: bool = False  #: asked without the token on loopback
    places: Literal["store", "scrapes"] | None = "store"  #: among which it needs one to work; none: it never waits
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        fields = {"{id}": r"(?P<id>[^/]+)", "{name}": r"(?P<name>.+)"}
        parts = re.split(r"(\{\w+\})", self.path)
        text = "".join(fields.get(part) or re.escape(part) for part in parts)
        object.__setattr__(self, "pattern", re.compile(text, re.DOTALL))

    @property
    def path_fields(self) -> list[str]:
        """The names of the fields in the path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def body_types(self) -> tuple[str, ...]:
        """Which content types the body may have."""
        return YAML_TYPES if self.body == "yaml" else ("application/json",) if self.body else ()

    def statuses(self) -> dict[int, str]:
        """Every problem that it may answer, with what it means."""
        found = {
            403: "It comes from another site's page.",
            421: "The Host header names another server.",
            500: "A fault of the router's; please report it.",
        }
        if self.parameters is not None:
            found[400] = "A parameter, or a key of the body, is unknown or wrong; `parameter` names it."
        if self.places == "store":
            found[503] = "The store can't be read or written just now, or others are asking for much; see Retry-After."
        elif self.places == "scrapes":
            found[503] = "Others are asking for much; see Retry-After."
        if self.body:
            found[413] = "The body is too large."
            found[415] = "The body has another content type."
        found[401] = (
            "The token is missing or wrong. (Not on loopback.)" if self.is_open else "The token is missing or wrong."
        )
        found[429] = "Too many wrong tokens came from this address; see Retry-After."
        return dict(sorted({**found, **self.problems}.items()))
