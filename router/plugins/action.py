"""What an action type offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from router.domain.deliveries import Claim
from router.domain.events import Event, ParsedEvent
from router.domain.outcomes import Cause, Outcome
from router.domain.secrets import Secret

if TYPE_CHECKING:
    from router.actions.forward.client import Client
    from router.runtime.thread_pool import Threads
from router.plugins.build import Build
from router.plugins.options import Options
from router.plugins.target import TargetSpec


@dataclass(frozen=True)
class AttemptInput:
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

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """What an attempt would do, as JSON data for `test`; does nothing; declared secrets show as `<secret:name>`.

        forward: {method, url, headers, body}; command: {argv | shell, env, cwd}; append: {path, line}.
        Raises RenderError when a template can't be rendered.
        """
        ...

    async def attempt(self, job: AttemptInput, tools: Tools) -> Outcome:
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
