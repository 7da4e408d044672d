"""What a plugin gets while its options are compiled, and how it reports problems."""

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
    """One problem in a plugin's options that only the plugin can find."""

    place: OptionPath
    message: str  #: cause and cure
    level: Level = Level.ERROR
    is_guard: bool = False  #: it forbids this action only; recorded rules keep their other actions


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """What the action's rule says."""

    allow_code: bool | None = False  #: sender's text may reach any program; None: the action has no rule
    matched: frozenset[str] = frozenset()  #: headers that the rule matches on, in lower case
    open_path: bool = False  #: senders choose a part of event.path, since a source's path has named parts
    has_item: bool = False  #: the rule has `for_each`


@dataclass(frozen=True)
class Build:
    """What an action or a scheme gets while it is compiled.

    A plugin adds to `faults` and goes on, so that all faults are reported at once. After an error the loader drops the
    compiled result.
    """

    name: str  #: `rule/action` for an action, the source's name for a scheme
    base_dir: Path  #: relative paths start here
    targets: Mapping[str, TargetSpec] = attribute(default_factory=dict)
    secrets: Mapping[str, Secret] = attribute(default_factory=dict)  #: the declared secrets by name; some may be unset
    find_secret: Callable[[SecretRef, OptionPath], Secret] | None = None
    """Resolves a secret. It reports an unset one at its place and returns an unset Secret."""
    find_file: Callable[[str, OptionPath, bool], bytes | None] | None = None
    """Reads a file that the options name, private or not. It reports a failure at the place and returns None."""
    hidden: dict[str, Secret] | None = None  #: secrets that outcomes hide, by any name; shared by the whole file
    require_secrets: bool = True  #: whether an unset secret is an error; otherwise it is a note
    timeout: float | None = None  #: seconds, from `defaults`
    commands: str = "any"  #: any, off, or the folder that programs of commands must be in
    allow_code: bool | None = False  #: sender's text may reach any program; None: the action has no rule
    protected: ProtectedPaths = attribute(
        default_factory=ProtectedPaths
    )  #: files that no append may write; shared by the whole file, and actions add to it
    found: dict[Any, Any] = attribute(
        default_factory=dict
    )  #: results of checks of the disk, shared by the actions of the file
    #: checks that run when the whole file is compiled
    at_end: list[Callable[[], None]] = attribute(default_factory=list)
    matched: frozenset[str] = frozenset()  #: headers that the action's rule matches on, in lower case
    open_path: bool = False  #: senders choose a part of event.path
    has_item: bool = False  #: the action's rule has `for_each`
    recorded: bool = False  #: the text comes from the store, not from the rules file
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

    def fault_unless_recorded(self, message: str, *place: str | int) -> None:
        """Report an error that earlier versions accepted. In a recorded text it is a warning, so that the text still
        loads."""
        self.faults.append(Fault(place, message, Level.WARNING if self.recorded else Level.ERROR))

    def warn(self, message: str, *place: str | int) -> None:
        """Report a warning at a place below the plugin's own node."""
        self.faults.append(Fault(place, message, Level.WARNING))

    def secret(self, ref: SecretRef, *place: str | int) -> Secret:
        """Resolve a secret that the options name."""
        if self.find_secret is None:
            return Secret(ref.name, None)
        return self.find_secret(ref, place)

    def file(self, name: str, *place: str | int, private: bool = False) -> bytes | None:
        """The content of a file that the options name, such as a certificate. None, after a report, when it can't be
        used.

        The daemon watches the file and reloads the rules when it changes. With `private` a note is reported when every
        user can read the file.
        """
        if self.find_file is None:
            try:
                return (self.base_dir / name).read_bytes()
            except OSError as error:
                self.fault(f"{name}: can't be read: {error.strerror}", *place)
                return None
        return self.find_file(name, place, private)

    def hide(self, secret: Secret) -> None:
        """Hide this value in stored answers and outputs, like the secrets from `secret`.

        Use it for a text made from several secrets, such as user and password in base64.
        """
        if self.hidden is not None and secret.is_set:
            self.hidden[f"{secret.name} {len(self.hidden)}"] = secret
