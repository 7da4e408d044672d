"""A node of the document, what it is called, and where its problems go."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from router.domain.errors import Level
from router.domain.nearest_word import LONGEST, did_you_mean, shortened
from router.rules.yaml.document import MappingNode, Node, ScalarNode, SequenceNode, data, kind
from router.rules.yaml.problems import ProblemReport
from router.runtime.pacing import paced

_NO_SPACE = re.compile(r"[\w.$@*'\"\[\]-]+:(?!//)\S")
#: Keys whose value may hold a secret that was written out by mistake. Problems go to the log, so it is not shown.
#: Action types add keys of their own.
_CONFIDENTIAL = frozenset({"secrets", "headers"})


@dataclass(frozen=True, slots=True)
class NodePath:
    """A node with its path, such as `rules[2] "deploy".match`."""

    report: ProblemReport
    node: Node
    path: str

    def error(self, message: str) -> None:
        """This value is wrong."""
        self.report.add(self.node, self.path, message)

    def error_now(self, message: str) -> None:
        """This value is wrong, which earlier versions did not see: a recorded text is only warned of."""
        self.report.add(self.node, self.path, message, Level.WARNING if self.report.recorded else Level.ERROR)

    def key_error_now(self, key: str, message: str) -> None:
        """A key of this mapping is wrong, which earlier versions did not see."""
        level = Level.WARNING if self.report.recorded else Level.ERROR
        self.report.add(self._key_node(key), self.path, message, level)

    def warn(self, message: str) -> None:
        """This value is probably not what was meant."""
        self.report.add(self.node, self.path, message, Level.WARNING)

    def key_error(self, key: str, message: str) -> None:
        """A key of this mapping is wrong: the place is the key's."""
        self.report.add(self._key_node(key), self.path, message)

    def key_warn(self, key: str, message: str) -> None:
        """A key of this mapping is probably not what was meant."""
        self.report.add(self._key_node(key), self.path, message, Level.WARNING)

    def _key_node(self, key: str) -> Node:
        entry = self.node.entries.get(key) if isinstance(self.node, MappingNode) else None
        return entry[0] if entry else self.node

    @property
    def data(self) -> Any:
        """The plain value."""
        return data(self.node)

    @property
    def digest(self) -> str:
        """A hash of the plain value, to tell after a reload whether it is another."""
        return hashlib.sha256(orjson.dumps(self.data)).hexdigest()

    @property
    def kind(self) -> str:
        """What a person calls it."""
        return kind(self.node)

    @property
    def is_blank(self) -> bool:
        """Nothing stands after the colon or the dash."""
        return isinstance(self.node, ScalarNode) and self.node.plain and self.node.text == ""

    def has(self, key: str) -> bool:
        """Whether this is a mapping with that key."""
        return isinstance(self.node, MappingNode) and key in self.node.entries

    def at(self, *place: str | int) -> "NodePath":
        """The spot below, as far down as the document has it."""
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
        """The same spot with the name that a person gave it, for paths such as `rules[2] "deploy"`."""
        return NodePath(self.report, self.node, f'{self.path} "{shortened(name)}"')

    def items(self) -> Iterator["NodePath"]:
        """The items of a list; none of anything else."""
        count = len(self.node.items) if isinstance(self.node, SequenceNode) else 0
        return (self.at(i) for i in paced(range(count)))

    def entries(self) -> Iterator[tuple[str, "NodePath"]]:
        """The keys and values of a mapping; none of anything else."""
        keys = list(self.node.entries) if isinstance(self.node, MappingNode) else []
        return ((key, self.at(key)) for key in paced(keys))

    def expect_mapping(self, of: str) -> bool:
        """Whether this is a mapping that has something in it; reports it otherwise."""
        if isinstance(self.node, MappingNode) and self.node.entries:
            return True
        self.error(f"expected a mapping of {of}, found {self.found()}{self.space_hint()}")
        return False

    def expect_list(self, of: str) -> bool:
        """Whether this is a list that has something in it; reports it otherwise."""
        if isinstance(self.node, SequenceNode) and self.node.items:
            return True
        self.error(f"expected a list of {of}, found {self.found()}")
        return False

    def expect_text(self, what: str) -> str | None:
        """The text; anything else is reported."""
        if isinstance(self.node, ScalarNode) and isinstance(self.node.value, str) and self.node.value:
            return self.node.value
        quote = isinstance(self.node, ScalarNode) and self.node.value is not None and self.node.value != ""
        self.error(f"expected {what}, found {self.found()}" + ("; quote it" if quote else ""))
        return None

    def space_hint(self) -> str:
        """The cure for `key:value`, where a mapping was expected."""
        text = self.node.value if isinstance(self.node, ScalarNode) and self.node.plain else None
        return "; a space is missing after the colon" if isinstance(text, str) and _NO_SPACE.match(text) else ""

    @property
    def _is_confidential(self) -> bool:
        key = self.path.rpartition(".")[2]
        return key in _CONFIDENTIAL or key in self.report.confidential_keys

    def found(self) -> str:
        """What is here, in words, with the usual reason when it is nothing."""
        if self.is_blank:
            return "nothing; a # after a space starts a comment, and a value that starts with # needs quotes"
        if isinstance(self.node, MappingNode | SequenceNode) and self.node.size == 1:
            return f"{self.kind} with nothing in it"
        if isinstance(self.node, ScalarNode) and self.node.value == "":
            return "empty text"
        if isinstance(self.node, ScalarNode) and self._is_confidential:
            return "a text" if isinstance(self.node.value, str) else "a value"
        return self.kind


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What is wrong with a key that is none of the known ones, and the cure."""
    name, colon, value = key.partition(":")
    if colon and value:  # of `secret:hunter2`, which YAML takes for a key, the value is not shown
        cure = "; a space is missing after the colon" if _NO_SPACE.match(key) else did_you_mean(name, known)
        return f'unknown key "{shortened(name)}:…"{cure}'
    return f'unknown key "{shortened(key)}"{did_you_mean(key, known)}'


def join(path: str, key: str) -> str:
    """`a` and `b` make `a.b`; a key that is long or has odd characters goes into brackets."""
    plain = len(key) <= LONGEST and key.replace("_", "").replace("-", "").isalnum()
    if not plain:
        return f"{path}[{shortened(key)}]"
    return f"{path}.{key}" if path else key
