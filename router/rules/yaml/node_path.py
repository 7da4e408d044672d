"""A node of the document with its path and the report for its problems."""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from router.domain.errors import Level
from router.domain.nearest_word import LONGEST, did_you_mean, shortened
from router.rules.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode, data, describe
from router.rules.yaml.problems import ProblemReport
from router.runtime.pacing import paced

_NO_SPACE = re.compile(r"[\w.$@*'\"\[\]-]+:(?!//)\S")
#: Keys whose value may hold a secret by mistake. Problems go to the log, so these values are not shown. Action types
# add keys of their own.
_CONFIDENTIAL = frozenset({"secrets", "headers"})
_SWITCHES = frozenset(
    ["active", "disable", "disabled", "enable", "enabled", "hold", "inactive", "off", "on", "pause", "paused", "skip"]
)


@dataclass(frozen=True, slots=True)
class NodePath:
    """A node with its path, such as `rules[2] "deploy".match`."""

    report: ProblemReport
    node: Node
    path: str

    def error(self, message: str) -> None:
        """Report an error of this value."""
        self.report.add(self.node, self.path, message)

    def error_unless_recorded(self, message: str) -> None:
        """Report an error that earlier versions accepted. In a recorded text it is a warning."""
        self.report.add(self.node, self.path, message, Level.WARNING if self.report.recorded else Level.ERROR)

    def key_error_unless_recorded(self, key: str, message: str) -> None:
        """Report an error of a key that earlier versions accepted. In a recorded text it is a warning."""
        level = Level.WARNING if self.report.recorded else Level.ERROR
        self.report.add(self._key_node(key), self.path, message, level)

    def warn(self, message: str) -> None:
        """Warn that this value probably means something else than intended."""
        self.report.add(self.node, self.path, message, Level.WARNING)

    def note(self, message: str) -> None:
        """Report a note about something that is right, but worth knowing."""
        self.report.add(self.node, self.path, message, Level.NOTE)

    def key_note(self, key: str, message: str) -> None:
        """Report a note about a key that is right, but worth knowing."""
        self.report.add(self._key_node(key), self.path, message, Level.NOTE)

    def key_error(self, key: str, message: str) -> None:
        """Report an error of a key of this mapping, at the key's place."""
        self.report.add(self._key_node(key), self.path, message)

    def key_warn(self, key: str, message: str) -> None:
        """Warn that a key of this mapping probably means something else than intended."""
        self.report.add(self._key_node(key), self.path, message, Level.WARNING)

    def key_line(self, key: str) -> int:
        """The line of a key of this mapping."""
        return self._key_node(key).line

    def _key_node(self, key: str) -> Node:
        entry = self.node.entries.get(key) if isinstance(self.node, MappingNode) else None
        return entry[0] if entry else self.node

    @property
    def data(self) -> Any:
        """The plain value."""
        return data(self.node)

    @property
    def digest(self) -> str:
        """A hash of the plain value, to tell after a reload whether it changed."""
        return hashlib.sha256(orjson.dumps(self.data)).hexdigest()

    @property
    def description(self) -> str:
        """The node in the words of a message."""
        return describe(self.node)

    @property
    def is_blank(self) -> bool:
        """Whether the file has nothing after the colon or the dash."""
        return isinstance(self.node, ScalarNode) and self.node.plain and self.node.text == ""

    def has(self, key: str) -> bool:
        """Whether this is a mapping with that key."""
        return isinstance(self.node, MappingNode) and key in self.node.entries

    def at(self, *place: str | int) -> "NodePath":
        """The node at a place below. If the document lacks it, the nearest node above that place."""
        node_path = self
        for step in place:
            below = node_path._step(step)
            if below is None:
                break
            node_path = below
        return node_path

    def _step(self, step: str | int) -> "NodePath | None":
        if isinstance(self.node, MappingNode) and isinstance(step, str) and step in self.node.entries:
            return NodePath(self.report, self.node.entries[step][1], join(self.path, step))
        if isinstance(self.node, SequenceNode) and isinstance(step, int) and step < len(self.node.items):
            return NodePath(self.report, self.node.items[step], f"{self.path}[{step}]")
        return None

    def named(self, name: str) -> "NodePath":
        """The same node with a name in its path, such as `rules[2] "deploy"`."""
        return NodePath(self.report, self.node, f'{self.path} "{shortened(name)}"')

    def items(self) -> Iterator["NodePath"]:
        """The items of a list; empty for other nodes."""
        count = len(self.node.items) if isinstance(self.node, SequenceNode) else 0
        return (self.at(i) for i in paced(range(count)))

    def entries(self) -> Iterator[tuple[str, "NodePath"]]:
        """The keys and values of a mapping; empty for other nodes."""
        keys = list(self.node.entries) if isinstance(self.node, MappingNode) else []
        return ((key, self.at(key)) for key in paced(keys))

    def expect_mapping(self, of: str) -> bool:
        """Whether this is a mapping with at least one key; otherwise reports an error."""
        if isinstance(self.node, MappingNode) and self.node.entries:
            return True
        self.error(f"expected a mapping of {of}, found {self.found()}{self.space_hint()}")
        return False

    def expect_list(self, of: str) -> bool:
        """Whether this is a list with at least one item; otherwise reports an error."""
        if isinstance(self.node, SequenceNode) and self.node.items:
            return True
        self.error(f"expected a list of {of}, found {self.found()}")
        return False

    def expect_text(self, what: str) -> str | None:
        """The text. For anything else an error is reported, and None returned."""
        if isinstance(self.node, ScalarNode) and isinstance(self.node.value, str) and self.node.value:
            return self.node.value
        quote = isinstance(self.node, ScalarNode) and self.node.value is not None and self.node.value != ""
        self.error(f"expected {what}, found {self.found()}" + ("; quote it" if quote else ""))
        return None

    def space_hint(self) -> str:
        """The cure if `key:value` is written where a mapping was expected; else empty."""
        text = self.node.value if isinstance(self.node, ScalarNode) and self.node.plain else None
        return "; a space is missing after the colon" if isinstance(text, str) and _NO_SPACE.match(text) else ""

    @property
    def _is_confidential(self) -> bool:
        key = self.path.rpartition(".")[2]
        return key in _CONFIDENTIAL or key in self.report.confidential_keys

    def found(self) -> str:
        """The node in the words of a message. For an empty node, with the usual cause."""
        if self.is_blank:
            return "nothing; a # after a space starts a comment, and a value that starts with # needs quotes"
        if isinstance(self.node, MappingNode | SequenceNode) and self.node.size == 1:
            return f"{self.description} with nothing in it"
        if isinstance(self.node, ScalarNode) and self.node.value == "":
            return "empty text"
        if isinstance(self.node, ScalarNode) and self._is_confidential:
            return "a text" if isinstance(self.node.value, str) else "a value"
        return self.description


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The message for an unknown key, with the cure."""
    name, colon, value = key.partition(":")
    if colon and value:  # YAML reads `secret:hunter2` as a key, so the part after the colon is not shown
        cure = "; a space is missing after the colon" if _NO_SPACE.match(key) else did_you_mean(name, known)
        return f'unknown key "{shortened(name)}:…"{cure}'
    known = list(known)
    return f'unknown key "{shortened(key)}"{_switch(key, known) or did_you_mean(key, known)}'


def _switch(key: str, known: Collection[str]) -> str:
    """The cure for a word with which other tools switch something off. It must not lead to the opposite."""
    if key.lower() not in _SWITCHES:
        return ""
    return (
        "; write enabled: false to switch it off"
        if "enabled" in known
        else "; write paused: true to hold its deliveries"
        if "paused" in known
        else ""
    )


def join(path: str, key: str) -> str:
    """`a` and `b` give `a.b`; brackets enclose a key that is long or has other characters than letters and digits."""
    plain = len(key) <= LONGEST and key.replace("_", "").replace("-", "").isalnum()
    if not plain:
        return f"{path}[{shortened(key)}]"
    return f"{path}.{key}" if path else key
