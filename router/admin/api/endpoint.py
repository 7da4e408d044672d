"""An endpoint of the admin listener: method, path, parameters, body, replies, and the function that runs it.

The table of all endpoints (`router.admin.api.routes`) makes both the routes and the OpenAPI document.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from router.admin.api.parameters import Parameter, Values
from router.admin.api.request_models import RequestBody
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
BODY_BYTES = 1024 * 1024  #: of a request; 10,000 ids take 400 kB
RULES_BYTES = 16 * 1024 * 1024  #: of a rules file, the same limit as the loader's


@dataclass(frozen=True, slots=True)
class Call:
    """One request, parsed."""

    path: Mapping[str, str]  #: values of the path's fields
    query: Values
    body: Any  #: the endpoint's model; bytes for a rules file; None without a body
    now: int  #: ms
    accept: str = ""  #: the Accept header


Run = Callable[[DaemonHandle, Call], Reply]


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """A status, with the content of its reply."""

    description: str
    schema: str | Mapping[str, Any] | None = None  #: of the JSON; a str is the name of a shared schema
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method on a path."""

    method: str
    path: str  #: with fields: {id} matches no slash, {name} may match some
    summary: str
    run: Run
    responses: Mapping[int, ResponseSpec]  #: for requests that succeed
    parameters: tuple[Parameter, ...] | None = ()  #: of the query; None: the query is ignored
    body: type[RequestBody] | str | None = None  #: a model, or `yaml` for a rules file
    problems: Mapping[int, str] = field(default_factory=dict)  #: statuses besides those of every endpoint
    is_open: bool = False  #: whether it needs no token on loopback
    reads: bool = False  #: a POST that changes nothing
    limit: Literal["store", "scrapes"] | None = (
        "store"  #: the concurrency limit that applies to it; None: it never waits
    )
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        fields = {"{id}": r"(?P<id>[^/]+)", "{name}": r"(?P<name>.+)"}
        parts = re.split(r"(\{\w+\})", self.path)
        text = "".join(fields.get(part) or re.escape(part) for part in parts)
        object.__setattr__(self, "pattern", re.compile(text, re.DOTALL))

    @property
    def acts(self) -> bool:
        """Whether it changes anything. The read-only token does not allow that."""
        return self.method != "GET" and not self.reads

    @property
    def path_fields(self) -> list[str]:
        """The names of the fields in the path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def body_types(self) -> tuple[str, ...]:
        """The content types that the body may have."""
        return YAML_TYPES if self.body == "yaml" else ("application/json",) if self.body else ()

    def statuses(self) -> dict[int, str]:
        """Every error status, with its meaning."""
        found = {
            403: "The request comes from another site's page, or the token is read-only.",
            421: "The Host header names another server.",
            500: "A fault of the router; please report it.",
        }
        if self.parameters is not None:
            found[400] = "A parameter, or a key of the body, is unknown or wrong; `parameter` names it."
        if self.limit == "store":
            found[503] = (
                "The store can't be read or written at the moment, or too many requests are under way; see Retry-After."
            )
        elif self.limit == "scrapes":
            found[503] = "Too many scrapes are under way; see Retry-After."
        if self.body:
            found[413] = "The body is too large."
            found[415] = "The body has another content type."
        found[401] = (
            "The token is missing or wrong. (Not on loopback.)" if self.is_open else "The token is missing or wrong."
        )
        found[429] = "Too many wrong tokens came from this address; see Retry-After."
        return dict(sorted({**found, **self.problems}.items()))
