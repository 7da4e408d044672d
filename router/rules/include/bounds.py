"""What an included file may use."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Bounds:
    """The names and globs of one `only`. None: everything is allowed."""

    path: str  #: of the entry, such as `include[0]`
    sources: tuple[str, ...] | None = None
    actions: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    secrets: tuple[str, ...] | None = None

    def allows(self, kind: str, name: str) -> bool:
        """Whether a name of this kind (sources, actions, targets, secrets) may be used."""
        globs: tuple[str, ...] | None = getattr(self, kind)
        return globs is None or is_like(name, globs)

    def refusal(self, kind: str, name: str) -> str:
        """The message for a name that may not be used."""
        globs: Sequence[str] = getattr(self, kind) or ()
        allowed = f"allows {', '.join(globs)}" if globs else "allows none"
        return f'{kind.removesuffix("s")} "{name}" may not be used in this file: only.{kind} of {self.path} {allowed}'


def is_like(name: str, globs: Sequence[str]) -> bool:
    """Whether a name is listed, or matches one of the globs."""
    return any(fnmatchcase(name, glob) for glob in globs)
