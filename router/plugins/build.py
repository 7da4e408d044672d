"""What a plugin may use while it is compiled, and how it reports what is wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from pathlib import Path
from typing import Any

from router.domain.errors import Level
from router.domain.files.protected import ProtectedPaths
from router.domain.secrets import Secret, SecretRef
from router.plugins.target import TargetSpec

OptionPath = tuple[str | int, ...]
"""Keys and indexes from the plugin's own node down, for example `("headers", "X-Ref")`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a plugin's options that only the plugin could see."""

    place: OptionPath
    message: str  #: cause and cure
    level: Level = Level.ERROR
    is_guard: bool = False  #: it forbids this one action: recorded rules keep their others


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
    find_secret: Callable[[SecretRef, OptionPath], Secret] | None = None
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
