"""The contents of a hooks file of adnanh/webhook, not translated yet."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a hooks file."""

    file: str
    line: int  #: 1 for the first line
    column: int  #: 1 for the first character

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value of the request, or a constant."""

    source: str
    name: str
    place: Place
    variable: str = ""  #: `envname`
    base64: bool = False  #: `base64decode`
    signed_headers: tuple[str, ...] = ()  #: `headers-to-add-to-signature-payload`


@dataclass(frozen=True, slots=True)
class Match:
    """A `match`: one comparison."""

    kind: str  #: `type`
    place: Place
    value: str = ""
    regex: str = ""
    secret: str = ""
    ip_range: str = ""
    parameter: Parameter | None = None


@dataclass(frozen=True, slots=True)
class And:
    """Holds if all of its rules do."""

    rules: "tuple[TriggerRule, ...]"
    place: Place


@dataclass(frozen=True, slots=True)
class Or:
    """Holds if one of its rules does."""

    rules: "tuple[TriggerRule, ...]"
    place: Place


@dataclass(frozen=True, slots=True)
class Not:
    """Holds if its rule does not."""

    rule: "TriggerRule"
    place: Place


TriggerRule = And | Or | Not | Match


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook."""

    id: str
    place: Place
    command: str  #: `execute-command`
    folder: str = ""  #: `command-working-directory`
    rule: TriggerRule | None = None
    arguments: tuple[Parameter, ...] = ()
    variables: tuple[Parameter, ...] = ()
    files: tuple[Parameter, ...] = ()
    json_parameters: tuple[Parameter, ...] = ()
    methods: tuple[str, ...] = ()
    content_type: str = ""  #: `incoming-payload-content-type`
    message: str = ""  #: `response-message`
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 0  #: `success-http-response-code`; 0: not said
    mismatch_status: int = 0
    output: bool = False  #: `include-command-output-in-response`
    output_on_error: bool = False
    soft_signatures: bool = False  #: `trigger-signature-soft-failures`
    timeout: str = ""  #: `command-timeout`
    most_at_once: int = 0  #: `max-concurrency`; 0: not said
    other: tuple[tuple[str, Place], ...] = field(default=())  #: unknown keys, and keys that can't be carried over

    @property
    def matches(self) -> tuple[Match, ...]:
        """All comparisons of the trigger rule."""
        return tuple(matches_of(self.rule)) if self.rule is not None else ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters, but not those of `parse-parameters-as-json`."""
        compared = tuple(match.parameter for match in self.matches if match.parameter is not None)
        return (*compared, *self.arguments, *self.variables, *self.files)


def matches_of(rule: TriggerRule) -> Iterator[Match]:
    """All comparisons of a trigger rule."""
    if isinstance(rule, Match):
        yield rule
    elif isinstance(rule, Not):
        yield from matches_of(rule.rule)
    else:
        for part in rule.rules:
            yield from matches_of(part)
