"""Reads a YAML text into nodes that know their line and column.

PyYAML's own constructor accepts duplicate keys in silence and, in C, overflows the stack on deep nesting. This reader
consumes the parser's events, for which the parser keeps a stack of its own, and builds the nodes within limits.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

import yaml

from router.rules.yaml.nodes import MappingNode, Node, Scalar, ScalarNode, SequenceNode
from router.rules.yaml.scalars import KNOWN_TAGS, TAG_PREFIX, resolve, resolve_tagged, shortened
from router.rules.yaml.syntax_errors import character_problem, syntax_problem
from router.rules.yaml.yaml_problem import DocumentError, ProblemLevel, YamlProblem, line_and_column
from router.runtime.pacing import yield_turn

MAX_BYTES = 16 * 1024 * 1024  #: of a rules file; 100,000 rules take less
TOO_LARGE = f"the file is larger than {MAX_BYTES // 1024**2} MiB; split it"
MAX_DEPTH = 100  #: a rule nests to about 10; code that walks nodes recursively must never run out of stack
MAX_ALIASED = 100_000  #: nodes that all aliases together may repeat; stops a "billion laughs" attack
MAX_ALIASED_TEXT = MAX_BYTES  #: characters that all aliases together may repeat; so a file counts twice at most
MAX_NODES = 2_000_000  #: values and keys; 100,000 rules have half of it; each node takes some 200 bytes of memory
MAX_LISTED = 1_000  #: problems of one level that are listed; the rest is counted
MAX_DIRECTIVES = 100  #: %TAG lines; the parser compares each with all others

_EMPTY = "the file is empty; it needs at least sources: and rules:"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is 2.5 times as fast
_DIRECTIVE = re.compile(r"^%TAG\b", re.MULTILINE)
_COMMENT = re.compile(r"\s+#[^\s#!]")  #: a comment that looks like a part of the value before it


def read(text: str, empty: str = _EMPTY) -> tuple[Node, list[YamlProblem]]:
    """Read one document. Also returns the warnings. `empty` says what a document without content lacks. Raises
    DocumentError."""
    root, problems = read_with_problems(text, empty)
    if any(problem.level == "error" for problem in problems):
        raise DocumentError(problems)
    return root, problems


def read_with_problems(text: str, empty: str = _EMPTY) -> tuple[Node, list[YamlProblem]]:
    """Read one document as far as possible: duplicate keys and unknown tags come back as errors beside it.

    Raises DocumentError if the reader has to stop before the end.
    """
    surrogate = re.search("[\ud800-\udfff]", text)
    if surrogate:
        message = "half a surrogate pair is not a character; remove it"
        raise DocumentError([YamlProblem(*line_and_column(text, surrogate.start()), message)])
    if len(text.encode()) > MAX_BYTES:
        raise DocumentError([YamlProblem(1, 1, TOO_LARGE)])
    _check_directives(text)
    reader = _Reader(text, empty)
    try:
        root = reader.run()
    except yaml.MarkedYAMLError as error:
        reader.problems.append(syntax_problem(error, text, MAX_DEPTH))
        raise DocumentError(reader.problems) from None
    except yaml.reader.ReaderError as error:
        reader.problems.append(character_problem(error, text))
        raise DocumentError(reader.problems) from None
    except _Stop:
        raise DocumentError(reader.problems) from None
    reader.count_unlisted()
    return root, reader.problems


def _check_directives(text: str) -> None:
    """Raise DocumentError for too many %TAG lines: the parser's time grows with their square."""
    for number, found in enumerate(_DIRECTIVE.finditer(text), start=1):
        if number > MAX_DIRECTIVES:
            message = f"more than {MAX_DIRECTIVES} %TAG lines; a rules file needs none, remove them"
            raise DocumentError([YamlProblem(*line_and_column(text, found.start()), message)])


class _Stop(Exception):
    """The reader can't continue. The last of its problems is the reason."""


@dataclass(slots=True)
class _OpenCollection:
    """A list or mapping whose end the reader has not reached."""

    node: SequenceNode | MappingNode
    anchor: str | None
    key: ScalarNode | None = None  #: of a mapping: the key whose value comes next


class _Reader:
    """Builds nodes from the parser's events."""

    def __init__(self, text: str, empty: str) -> None:
        self.text = text
        self.empty = empty
        self.lines = text.split("\n")
        self.problems: list[YamlProblem] = []
        self.reported: Counter[str] = Counter()  #: problems by level, listed or not
        self.nodes = 0
        self.aliased = 0
        self.aliased_text = 0
        self.anchors: dict[str, Node | None] = {}  #: None while the anchored collection is open
        self.root: Node | None = None
        self.open: list[_OpenCollection] = []

    def run(self) -> Node:
        """Read the document. Raises _Stop, and the parser's errors."""
        for event in yaml.parse(self.text, Loader=_LOADER):
            yield_turn()
            if isinstance(event, yaml.ScalarEvent):
                self.add(self.scalar(event))
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self.start(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self.end()
            elif isinstance(event, yaml.AliasEvent):
                self.add(self.alias(event))
            elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                self.stop(event, "a second document begins here; a rules file is one document, remove the ---")
        if self.root is None or (isinstance(self.root, ScalarNode) and self.root.value is None):
            self.problems.append(YamlProblem(1, 1, self.empty))
            raise _Stop
        return self.root

    def report(self, place: Any, message: str, level: ProblemLevel = "error") -> None:
        """Record a problem of a node, or of a parser's event."""
        self.reported[level] += 1
        if self.reported[level] <= MAX_LISTED:
            self.problems.append(YamlProblem(*_position(place), message, level))

    def count_unlisted(self) -> None:
        """Add, for each level, the number of problems that are not listed."""
        for level in get_args(ProblemLevel):
            unlisted = self.reported[level] - MAX_LISTED
            if unlisted > 0:
                message = f"{unlisted:,} more {level}s like those above are not shown; fix those first"
                self.problems.append(YamlProblem(len(self.lines), 1, message, level))

    def stop(self, place: Any, message: str) -> NoReturn:
        """Record a problem after which the reader can't continue."""
        self.problems.append(YamlProblem(*_position(place), message))
        raise _Stop

    def start(self, event: Any) -> None:
        """Open a list or a mapping."""
        if len(self.open) >= MAX_DEPTH:
            self.stop(event, f"nested deeper than {MAX_DEPTH} levels")
        self.tag(event)
        line, column = _position(event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        node = MappingNode(line, column, {}) if is_mapping else SequenceNode(line, column, [])
        if event.anchor:
            self.anchors[event.anchor] = None
        self.open.append(_OpenCollection(node, event.anchor))

    def end(self) -> None:
        """Close the innermost list or mapping."""
        closed = self.open.pop()
        if closed.anchor:
            self.anchors[closed.anchor] = closed.node
        self.add(closed.node)

    def add(self, node: Node) -> None:
        """Put a finished node where it belongs: root, list item, mapping key or mapping value."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.stop(node, f"the file has more than {MAX_NODES:,} values and keys; split it")
        if not self.open:
            self.root = node
            return
        top = self.open[-1]
        if isinstance(top.node, SequenceNode):
            top.node.items.append(node)
            _count_part(top.node, node)
        elif top.key is None:
            top.key = self.key(node)
        else:
            self.add_entry(top.node, top.key, node)
            top.key = None

    def add_entry(self, mapping: MappingNode, key: ScalarNode, value: Node) -> None:
        """Add a key with its value; a duplicate key is reported and left out."""
        if key.text in mapping.entries:
            first = mapping.entries[key.text][0]
            self.report(key, f'duplicate key "{shortened(key.text)}"; it is on line {first.line} already')
            return
        mapping.entries[key.text] = (key, value)
        _count_part(mapping, value)
        mapping.length += key.length

    def key(self, node: Node) -> ScalarNode:
        """The node as a key, which must be text."""
        if isinstance(node, MappingNode) and self.is_template(node):
            self.stop(node, 'a value that starts with {{ needs quotes: "{{ … }}"')
        if not isinstance(node, ScalarNode):
            self.stop(node, "a key must be text, not a list or a mapping; quote it")
        if node.value is None and node.plain:
            self.stop(node, "a key is missing before the colon (or it is null); write its name, or quote it")
        if node.text == "<<" and node.plain:
            self.stop(node, "merge keys (<<) are not supported; write the keys out, or use defaults:")
        return node

    def is_template(self, node: Node) -> bool:
        """Whether a mapping in braces, used as a key, is in fact a template without quotes."""
        line = self.lines[node.line - 1]
        return line[max(0, node.column - 2) : node.column] == "{{" or line[node.column - 1 : node.column + 1] == "{{"

    def alias(self, event: Any) -> Node:
        """The node that an alias repeats."""
        name = event.anchor
        if name not in self.anchors:
            self.stop(
                event,
                f"*{shortened(name)} is not the name of an anchor above it; quote a value that starts with an asterisk",
            )
        node = self.anchors[name]
        if node is None:
            self.stop(event, f"*{shortened(name)} contains itself")
        if len(self.open) + node.height > MAX_DEPTH:
            self.stop(event, f"nested deeper than {MAX_DEPTH} levels, by *{shortened(name)}")
        self.aliased += node.size
        self.aliased_text += node.length
        if self.aliased > MAX_ALIASED:
            self.stop(event, f"the aliases add up to more than {MAX_ALIASED} values")
        if self.aliased_text > MAX_ALIASED_TEXT:
            self.stop(event, f"the aliases add up to more than {MAX_ALIASED_TEXT // 1024**2} MiB of text")
        return node

    def scalar(self, event: Any) -> ScalarNode:
        """The node of a scalar."""
        value: Scalar = event.value
        if event.tag is not None:
            value = resolve_tagged(event.value, self.tag(event), lambda *problem: self.report(event, *problem))
        elif event.implicit[0]:
            value = resolve(event.value, lambda *problem: self.report(event, *problem))
            self.check_comment(event)
        node = ScalarNode(*_position(event), value, event.value, plain=event.implicit[0])
        node.length = len(event.value)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def check_comment(self, event: Any) -> None:
        """Warn of `main #old`, which YAML reads as `main`. Intended comments have a space after the #."""
        end = event.end_mark
        line = self.lines[end.line] if end.line < len(self.lines) else ""
        if event.value and _COMMENT.match(line, end.column):
            comment = line[end.column :].strip()[:40]
            self.report(event, f'"{comment}" is a comment here; quote the value if it belongs to it', "warning")

    def tag(self, event: Any) -> str | None:
        """The known tag of an event; None without one, for `!`, and for an unknown tag, which is reported."""
        if event.tag is None or event.tag == "!":
            return None
        tag = str(event.tag)
        name = tag.removeprefix(TAG_PREFIX)
        if tag.startswith(TAG_PREFIX) and name in KNOWN_TAGS:
            return name
        message = f"the tag {shortened(tag)} is not known; quote a value that starts with an exclamation mark"
        self.report(event, message)
        return None


def _position(place: Any) -> tuple[int, int]:
    """Line and column of a node, or of a parser's event."""
    if isinstance(place, Node):
        return place.line, place.column
    return place.start_mark.line + 1, place.start_mark.column + 1


def _count_part(whole: SequenceNode | MappingNode, part: Node) -> None:
    whole.size += part.size
    whole.length += part.length
    whole.height = max(whole.height, part.height + 1)
