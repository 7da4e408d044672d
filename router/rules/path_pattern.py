"""Paths of sources with named parts, such as `/hooks/{team}/deploy`.

A name stands for one whole segment of the path, which is not empty. Where several patterns fit a path, a literal
segment wins over a name, compared from the left.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from router.rules.source import Source

PART_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PART = re.compile(r"\{([^{}]*)\}")
_OURS = "-"  #: paths below /-/ belong to the daemon


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path with named parts."""

    segments: tuple[str, ...]  #: literals unchanged, named parts as `{name}`
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[str, ...]:
        """The segments without the names: two patterns of one shape fit the same paths."""
        return tuple("{}" if _PART.fullmatch(segment) else segment for segment in self.segments)

    def params(self, path: str) -> dict[str, str]:
        """The parts of a path by name; empty if the path does not fit."""
        given = path.split("/")[1:]
        if len(given) != len(self.segments):
            return {}
        found: dict[str, str] = {}
        for segment, text in zip(self.segments, given, strict=True):
            if segment[:1] == "{":
                found[segment[1:-1]] = text
            elif segment != text:
                return {}
        return found if all(found.values()) else {}

    def fill(self, params: Mapping[str, str]) -> str:
        """The decoded path with these parts. Raises KeyError."""
        return "/" + "/".join(params[s[1:-1]] if s[:1] == "{" else s for s in self.segments)


def path_pattern(path: str) -> PathPattern | None:
    """The pattern in a path; None for a path without names. Raises ValueError with the cure."""
    if "{" not in path and "}" not in path:
        return None
    segments = path.split("/")[1:]
    names: list[str] = []
    for segment in segments:
        found = _PART.fullmatch(segment)
        if found is None and ("{" in segment or "}" in segment):
            raise ValueError(f'expected a name in braces alone between slashes, such as /{{name}}/, found "{segment}"')
        if found is None:
            continue
        if not PART_NAME.fullmatch(found[1]):
            raise ValueError(f'expected a name in braces of letters, digits and _, such as {{team}}, found "{segment}"')
        if found[1] in names:
            raise ValueError(f"{segment} is repeated in the path; give each part its own name")
        names.append(found[1])
    return PathPattern(tuple(segments), tuple(names))


def encoded(path: str) -> str:
    """A decoded path as it stands in a request."""
    return quote(path, "-._~!$&'()*+,;=:@/")


@dataclass(slots=True)
class _Branch:
    literals: "dict[str, _Branch]" = field(default_factory=dict)
    named: "_Branch | None" = None
    source: "Source | None" = None


class PathPatterns:
    """Finds the source of a path among those whose paths are patterns. Immutable; any thread may use it."""

    def __init__(self, sources: "Iterable[Source]") -> None:
        self._root = _Branch()
        self.empty = True
        for source in sources:
            if source.pattern is not None:
                self.empty = False
                self._add(source, source.pattern)

    def _add(self, source: "Source", pattern: PathPattern) -> None:
        branch = self._root
        for segment in pattern.segments:
            if segment[:1] == "{":
                branch.named = branch.named or _Branch()
                branch = branch.named
            else:
                branch = branch.literals.setdefault(segment, _Branch())
        branch.source = source

    def find(self, path: str) -> "Source | None":
        """The source of a decoded path. It visits each pattern's branches at most once."""
        if self.empty:
            return None
        segments = path.split("/")[1:]
        if not segments or "" in segments or segments[0] == _OURS:
            return None
        stack = [(self._root, 0)]
        while stack:
            branch, depth = stack.pop()
            if depth == len(segments):
                if branch.source is not None:
                    return branch.source
                continue
            if branch.named is not None:
                stack.append((branch.named, depth + 1))
            literal = branch.literals.get(segments[depth])
            if literal is not None:
                stack.append((literal, depth + 1))  # on top, so it is tried first
        return None
