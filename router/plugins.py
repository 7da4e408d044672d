"""What an action type and a verification scheme offer to the rules loader, and what it gives them.

The loader reads YAML and knows positions; a plugin knows its own options. Between them travel a pydantic model,
a `Build` and its faults, whose places are relative to the plugin's own node, so that neither imports the other.
Every options model sets `strict=True, extra="forbid", frozen=True`; every field has a `description`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from router.errors import Level
from router.model import Cause, Claim, Event, Inbound, Outcome, ParsedEvent, Reply
from router.protected import ProtectedPaths
from router.secrets import Secret, SecretRef
from router.units import Duration

if TYPE_CHECKING:
    from router.actions.client import Client
    from router.actions.threads import Threads

Place = tuple[str | int, ...]
"""Keys and indexes from the plugin's own node down, for example `("headers", "X-Ref")`."""


class Options(BaseModel):
    """Base of every model that a mapping of the rules file is read into."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a plugin's options that only the plugin could see."""

    place: Place
    message: str  #: cause and cure
    level: Level = Level.ERROR
    is_guard: bool = False  #: it forbids this one action: recorded rules keep their others


class BreakerSpec(Options):
    """When a target counts as down, and how it is tried then."""

    failures: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=10, description="Failures in a row that open it; fewer would open it on the blip of one restart."
    )
    pause: Duration = Field(default=5.0, description="Until one attempt is made to see; doubled when that fails.")
    max_pause: Duration = Field(default=60.0, description="The longest pause: a target that is back is noticed in it.")


_NONE = "none"
NO_BREAKER = BreakerSpec.model_construct(failures=2**62)  #: a target that is tried however often it fails

BreakerField = Annotated[
    BreakerSpec,
    BeforeValidator(lambda value: NO_BREAKER if value == _NONE else value),
    WithJsonSchema({"anyOf": [{"const": _NONE}, BreakerSpec.model_json_schema()]}),
]
"""`none`, or a mapping."""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """Where actions go, and the limits that all of them share there."""

    key: str  #: the target's name; else the origin of a literal url; else rule/action
    concurrency: int  #: attempts under way at once
    rate: float | None = None  #: attempts started a second; none: no limit
    url: str | None = None  #: base URL of a named target (a template; its authority literal or one whole secret)
    breaker: BreakerSpec = NO_BREAKER


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """What an action's rule says beside the action."""

    allow_code: bool | None = False  #: sender's text may reach any program; None: there is no rule that could say it
    matched: frozenset[str] = frozenset()  #: headers that the rule matches on, in lower case


@dataclass(frozen=True)
class Build:
    """What an action or a scheme may use while it is compiled.

    A plugin adds to `faults` and goes on, so that all faults are reported in one go; an error there makes the loader
    throw the compiled result away.
    """

    name: str  #: `rule/action` for an action, the source's name for a scheme
    base_dir: Path  #: relative paths start here
    targets: Mapping[str, TargetSpec] = attribute(default_factory=dict)
    secrets: Mapping[str, Secret] = attribute(default_factory=dict)  #: the declared ones, by name; perhaps unset
    find_secret: Callable[[SecretRef, Place], Secret] | None = None
    """Resolve a secret; reports the unset one itself at that place, and gives an unset Secret then."""
    require_secrets: bool = True  #: an unset secret is an error, not a note
    timeout: float | None = None  #: seconds, from `defaults`
    commands: str = "any"  #: what commands may run: any, off, or the folder that they must be in
    allow_code: bool | None = False  #: the rule says that sender's text may reach any program; None: no rule to say it
    protected: ProtectedPaths = attribute(default_factory=ProtectedPaths)  #: of the whole file; actions add to it
    found: dict[Any, Any] = attribute(default_factory=dict)  #: what the disk said, for the other actions of the file
    at_end: list[Callable[[], None]] = attribute(default_factory=list)  #: what can be judged once all is compiled
    matched: frozenset[str] = frozenset()  #: headers that the action's rule matches on, in lower case
    recorded: bool = False  #: the text is one that the store kept, not the rules file as it is now
    faults: list[Fault] = attribute(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether an error was reported."""
        return any(fault.level is Level.ERROR for fault in self.faults)

    def fault(self, message: str, *place: str | int) -> None:
        """Report an error at a place below the plugin's own node."""
        self.faults.append(Fault(place, message))

    def forbid(self, message: str, *place: str | int) -> None:
        """Report that a guard forbids this action, at a place below the plugin's own node."""
        self.faults.append(Fault(place, message, is_guard=True))

    def fault_now(self, message: str, *place: str | int) -> None:
        """Report an error that earlier versions did not see; in a recorded text, which still has to load, a warning."""
        self.faults.append(Fault(place, message, Level.WARNING if self.recorded else Level.ERROR))

    def warn(self, message: str, *place: str | int) -> None:
        """Report a warning at a place below the plugin's own node."""
        self.faults.append(Fault(place, message, Level.WARNING))

    def secret(self, ref: SecretRef, *place: str | int) -> Secret:
        """Resolve a secret that the plugin's options name."""
        if self.find_secret is None:
            return Secret(ref.name, None)
        return self.find_secret(ref, place)


@dataclass(frozen=True)
class Job:
    """One attempt's work: the claim, the event, parsed when it is asked for, and the secrets of this moment."""

    claim: Claim
    parse: Callable[[], ParsedEvent]  #: raises RenderError when the event can't be parsed as its source now says
    secrets: Mapping[str, Secret]  #: of the current ruleset
    passing: frozenset[str] = frozenset()  #: globs of headers that its source passes on, in lower case

    @property
    def event(self) -> Event:
        """The event as it was received."""
        return self.claim.event

    @cached_property
    def parsed(self) -> ParsedEvent:
        """The event with its payload. Raises RenderError, as a template does that asks for it."""
        return self.parse()


@dataclass(frozen=True, slots=True)
class Tools:
    """What attempts share in one running daemon; belongs to the delivery loop."""

    client: "Client"  #: for forwards
    files: "Threads"  #: for what blocks on a disk
    processes: "Threads"  #: for starting programs
    stopping: Callable[[], bool] = lambda: False  #: whether the daemon was told to stop


class Action(Protocol):
    """A compiled action: immutable, used by many attempts at once."""

    @property
    def type(self) -> str:
        """forward, command or append."""
        ...

    @property
    def target(self) -> TargetSpec:
        """Whose limits the deliveries count against."""
        ...

    def preview(self, job: Job) -> dict[str, Any]:
        """What an attempt would do, as JSON data for `test`; does nothing; declared secrets show as `<secret:name>`.

        forward: {method, url, headers, body}; command: {argv | shell, env, cwd}; append: {path, line}.
        Raises RenderError when a template can't be rendered.
        """
        ...

    async def attempt(self, job: Job, tools: Tools) -> Outcome:
        """Do it once. Expected failures are outcomes. Never blocks the loop; a cancellation leaves nothing running."""
        ...


class ActionKind(Protocol):
    """An action type: a module of router/actions with these names inside."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class by any other name
        """The model of the mapping form."""
        ...

    @property
    def SHORT(self) -> Mapping[type, str]:  # noqa: N802 - a constant of the module
        """By plain Python type (str, list): the option that a bare scalar or list stands for."""
        ...

    @property
    def RETRY(self) -> Mapping[str, Any]:  # noqa: N802 - a constant of the module
        """What the type's retry policy has other than the general default, as written in YAML."""
        ...

    @property
    def CAUSES(self) -> tuple[Cause, ...]:  # noqa: N802 - a constant of the module
        """What its attempts can fail by: what `retry.on` may list for it."""
        ...

    @property
    def compile(self) -> "Callable[[Any, Build], Action]":
        """Options in, Action out; faults go to the build."""
        ...


@dataclass(frozen=True, slots=True)
class Verified:
    """The sender is who it has to be; the request without its plain credentials."""

    inbound: Inbound


class Misfit(StrEnum):
    """What a verification failed by, in the few words that metrics count by."""

    MISSING = "missing"  #: the header or parameter that it needs, or the value of it
    MALFORMED = "malformed"  #: it is not in the form in which such senders write it
    MISMATCH = "mismatch"  #: no secret fits: somebody else's, a wrong one, or the request was changed on its way
    TIME = "time"  #: it was signed at a time too far from now


@dataclass(frozen=True, slots=True)
class Refused:
    """The sender is not; the reason is for the log, never for the sender."""

    misfit: Misfit
    reason: str
    challenge: str = ""  #: the answer's WWW-Authenticate (RFC 9110), where the scheme has one


@dataclass(frozen=True, slots=True)
class Signed:
    """What a sender adds to a request so that the scheme lets it in."""

    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""  #: as it stands in a URL, to come after what the query has
    is_credential: bool = False  #: the secret itself is in there: never to be shown


@dataclass(frozen=True, slots=True)
class Unsignable:
    """Nobody who has but the rules file and its secrets could have sent the request; the reason ends with no stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class Habit:
    """What a provider sends, by which `send` does as it does, and by which forwards know its headers."""

    event: str | None = None  #: the header that says what kind of event it is
    ids: tuple[str, ...] = ()  #: headers that hold an id of this one delivery
    form: bool = False  #: it sends forms, at least at times
    headers: tuple[str, ...] = ()
    """Globs of what it sends, the signature included, which forwards pass on. `{key}` is an option's value."""


@dataclass(frozen=True, slots=True)
class SignedParts:
    """What a scheme's signature covers beside the body's bytes; all else anybody who recorded a request can change."""

    headers: frozenset[str] = frozenset()  #: in lower case
    query: bool = False


class Verifier(Protocol):
    """A compiled verification of one source."""

    @property
    def verifies(self) -> bool:
        """False only for scheme none: anybody may send."""
        ...

    @property
    def signed(self) -> SignedParts | None:
        """None: there is no signature. A credential vouches for all of the request, or nobody is verified."""
        ...

    def verify(self, inbound: Inbound, now: int) -> Verified | Refused:
        """Judge the raw request; now in ms. Compares bytes in constant time; never raises, whatever was sent."""
        ...

    def sign(self, inbound: Inbound, now: int) -> Signed | Unsignable:
        """What its sender would add to the request, now in ms, by the first secret that is set; `verify` accepts it."""
        ...


class Scheme(Protocol):
    """A verification scheme: a module of router/intake/verify with these names inside."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class by any other name
        """The model of the `verify` mapping without its `scheme`."""
        ...

    @property
    def DEFAULTS(self) -> Mapping[str, Any]:  # noqa: N802 - a constant of the module
        """Keys of the source that the scheme sets unless the file does, as written in YAML."""
        ...

    @property
    def HABIT(self) -> Habit:  # noqa: N802 - a constant of the module
        """What its provider sends beside the signature."""
        ...

    @property
    def compile(self) -> "Callable[[Any, Build], Verifier]":
        """Options in, Verifier out; faults go to the build."""
        ...


class Handshake(Protocol):
    """A compiled handshake of one source: answers the provider's questions, which are no events."""

    @property
    def methods(self) -> tuple[str, ...]:
        """HTTP methods that it takes beside the source's."""
        ...

    def before(self, inbound: Inbound) -> Reply | Refused | None:
        """Answer or refuse a question that has a verification of its own; None: it is none."""
        ...

    def after(self, payload: Any) -> Reply | None:
        """Answer a question that was verified as events are; None: it is an event."""
        ...


class HandshakeKind(Protocol):
    """A kind of handshake: a module of router/intake/handshake with these names inside."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class by any other name
        """The model of the `handshake` mapping without its `scheme`."""
        ...

    @property
    def compile(self) -> "Callable[[Any, Build], Handshake]":
        """Options in, Handshake out; faults go to the build."""
        ...


@dataclass(frozen=True, slots=True)
class Registries:
    """The plugins that a rules file may name; `app` hands them to the loader."""

    actions: Mapping[str, ActionKind]
    schemes: Mapping[str, Scheme]
    handshakes: Mapping[str, HandshakeKind]
    check_target_url: Callable[[str, Mapping[str, Secret]], list[str]]
    """What is wrong with the url of a named target: messages with the cure; none when it is fine."""
