"""The documents that one ruleset is compiled from: the main file, then the files that it includes."""

from dataclasses import dataclass

from router.rules.include.bounds import Bounds
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import INCLUDED_KEYS, TOP_KEYS


@dataclass(frozen=True, slots=True)
class Document:
    """One file's document."""

    root: NodePath
    is_included: bool = False
    of_folder: bool = False  #: a file of a folder that has no main file
    bounds: Bounds | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it may have at the top."""
        if not self.is_included:
            return TOP_KEYS
        return (*INCLUDED_KEYS, "defaults", "unmatched") if self.of_folder else INCLUDED_KEYS

    @property
    def file(self) -> str:
        """Its name in messages."""
        return self.root.report.file


@dataclass(frozen=True, slots=True)
class Place:
    """The place where a name was defined."""

    file: str
    line: int

    def seen_from(self, node_path: NodePath) -> str:
        """The place in the words of a message about another place: `on line 4`, or `on line 4 of teams/pay.yaml`."""
        return f"on line {self.line}" + ("" if node_path.report.file == self.file else f" of {self.file}")
