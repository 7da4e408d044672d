"""The interface of action types, and the input of their attempts."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from router.domain.deliveries import Claim
from router.domain.errors import RenderError
from router.domain.events import Event, ParsedEvent
from router.domain.items import value_at
from router.domain.outcomes import Cause, Outcome
from router.domain.secrets import Secret
from router.plugins.build import Build
from router.plugins.connection import ConnectionOptions
from router.plugins.options import Options
from router.plugins.target import TargetSpec
from router.runtime.lease import Lease

Resources = TypeVar("Resources")


@dataclass(frozen=True)
class AttemptInput:
    """What one attempt gets: the claim, the event and the current secrets."""

    claim: Claim
    parse: Callable[[], ParsedEvent]  #: raises RenderError when the event can't be parsed by its source's settings
    secrets: Mapping[str, Secret]  #: the secrets of the current ruleset
    passing: frozenset[str] = frozenset()  #: globs of the source's headers that forwards pass on, in lower case
    answers: bool = False  #: the sender waits for the action's answer, so the outcome must have it

    @property
    def event(self) -> Event:
        """The event as it was received."""
        return self.claim.event

    @cached_property
    def parsed(self) -> ParsedEvent:
        """The event with its payload, parsed at the first use. Raises RenderError."""
        return self.parse()

    @cached_property
    def item(self) -> Any:
        """The item of a delivery by `for_each`, found by its place in the payload. Raises RenderError."""
        place = self.claim.delivery.item
        try:
            if place is not None:
                return value_at(self.parsed.payload, place)
        except LookupError:
            pass
        raise RenderError(f"the payload has no item at {place}" if place is not None else "the delivery has no item")

    @property
    def public_id(self) -> str:
        """The id that targets see: the event's, or that of its item."""
        index = self.claim.delivery.item_index
        return self.event.id if index is None else f"{self.event.id}_{index}"


@dataclass(frozen=True, slots=True)
class Tools(Generic[Resources]):
    """What all attempts of one action type share in a running daemon. Belongs to the delivery loop."""

    resources: Resources  #: the result of the type's `open_resources`
    stopping: Callable[[], bool] = lambda: False  #: whether the daemon was told to stop
    lease: Lease = field(default_factory=Lease)  #: how long this process may run attempts
    #: a file that one guard of commands locks at a time; None: a restarted daemon waits for the lease instead
    guard_lock: Path | None = None


class Action(Protocol):
    """A compiled action: immutable, used by many attempts at once."""

    @property
    def type(self) -> str:
        """The name of its type, such as forward."""
        ...

    @property
    def target(self) -> TargetSpec:
        """The target. Its limits apply to the action's deliveries."""
        ...

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """What an attempt would do, as JSON data for `test`. It has no effects; secrets show as `<secret:name>`.

        Raises RenderError when a template can't be rendered.
        """
        ...

    async def attempt(self, job: AttemptInput, tools: Tools[Any]) -> Outcome:
        """Make one attempt.

        Expected failures are outcomes. It never blocks the loop, and a cancelled attempt leaves nothing running.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChangedDefault:
    """An option whose default has changed; `check --upgrade` names the actions that leave it out."""

    option: str
    before: str  #: what happened without the option, as a part of a sentence
    now: str
    cure: str  #: what to write to keep the earlier meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionType:
    """Everything that the rest of the program knows about one type of action."""

    name: str  #: the key in the rules file
    options: type[Options]  #: the model of the action's mapping
    compile: Callable[[Any, Build], Action]  #: compiles the options to an action; faults go to the build
    short_forms: Mapping[type, str] = field(default_factory=dict)
    """The option that a bare value stands for, by the value's plain Python type (str, list)."""
    value_hints: Mapping[type, str] = field(default_factory=dict)
    """What to write instead, for a bare value that is not a short form; by the value's plain Python type."""
    causes: tuple[Cause, ...] = ()  #: the causes of its failures, which `retry.on` may list
    retry_defaults: Mapping[str, Any] = field(default_factory=dict)
    """Keys of `retry` whose default differs from the general one, as written in YAML."""
    check_target_url: Callable[[str, Mapping[str, Secret]], list[str]] | None = None
    """What is wrong with a named target's url, with the cure. None: its actions don't go to named targets."""
    compile_connection: Callable[[ConnectionOptions, Build], Any] | None = None
    """Compiles auth, tls and proxy of a named target, for `TargetSpec.connection`."""
    broken_connection: Callable[[str], Any] | None = None
    """A connection whose attempts all fail with this reason, for recorded rules that a newer guard forbids."""
    answers: bool = False  #: its attempts have an answer that can be sent to the sender
    danger: str | None = None
    """What a stranger could make it do, such as `run this command`. Its sources must then be verified. None:
    nothing."""
    confidential_keys: frozenset[str] = frozenset()
    """Keys whose values may hold a secret by mistake. Messages about the rules file don't show these values."""
    hints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Words of other tools for such an action, by the advice to give for them."""
    changed_defaults: tuple[ChangedDefault, ...] = ()
    status_word: str = "status"  #: the meaning of an attempt's status number
    status_prefix: str = ""  #: the text before the number in a short line
    open_resources: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext
    """Opens what its attempts share, such as connections, in the delivery loop. It is closed when the loop ends."""
