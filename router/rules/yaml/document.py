"""YAML text to nodes that know their line and column, by the core schema of YAML 1.2.

PyYAML's own constructor follows YAML 1.1 (`on` is true, `12:30` is 750), takes duplicate keys in silence and, in C,
overflows the stack on deep nesting. So this walks the parser's events, which keep nesting on a stack of their own, and
builds the nodes itself, within bounds. Source of the schema: YAML 1.2.2, section 10.3.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import yaml

from router.runtime.pacing import yield_turn

MAX_BYTES = 16 * 1024 * 1024  #: of a rules file; 100,000 rules take less
TOO_LARGE = f"the file is larger than {MAX_BYTES // 1024**2} MiB; split it"
MAX_DEPTH = 100  #: a rule nests to about 10; Python code that walks nodes recursively must never run out of stack
MAX_ALIASED = 100_000  #: nodes that aliases may add up to; a "billion laughs" ends here
MAX_ALIASED_TEXT = MAX_BYTES  #: characters that aliases may add up to: as if the file were twice as large
MAX_NODES = 2_000_000  #: values and keys; 100,000 rules have half of it, and each takes some 200 bytes of memory
MAX_FLAWS = 1_000  #: that are told of one by one
MAX_DIRECTIVES = 100  #: %TAG lines; the parser compares each with all others

Scalar = str | int | float | bool | None
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is 2.5 times as fast

_NULL = {"", "null", "Null", "NULL", "~"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# Lengths that a float still holds.
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_OCTAL = re.compile(r"0o[0-7]{1,300}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,250}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = {"str", "int", "float", "bool", "null", "map", "seq"}


@dataclass(slots=True, eq=False)
class Node:
    """A value and where it begins."""

    line: int  #: 1 for the first line
    column: int  #: 1 for the first character
    size: int = field(default=1, kw_only=True)  #: nodes in it, aliases expanded
    height: int = field(default=0, kw_only=True)  #: levels below it, aliases expanded
    length: int = field(default=0, kw_only=True)  #: characters of the texts in it, aliases expanded


@dataclass(slots=True, eq=False)
class ScalarNode(Node):
    """Text, a number, a boolean or null."""

    value: Scalar
    text: str  #: as written, without quotes
    plain: bool = False  #: written without quotes


@dataclass(slots=True, eq=False)
class SequenceNode(Node):
    """A list."""

    items: list[Node]


@dataclass(slots=True, eq=False)
class MappingNode(Node):
    """A mapping; its keys are text, each there once, in file order."""

    entries: dict[str, tuple[ScalarNode, Node]]

    def get(self, key: str) -> Node | None:
        """The value of a key, or none when it isn't there."""
        entry = self.entries.get(key)
        return entry[1] if entry else None


@dataclass(frozen=True, slots=True)
class Flaw:
    """A reason why a text is no document, or not the one that was meant."""

    line: int
    column: int
    message: str
    level: Literal["error", "warning"] = "error"


class DocumentError(Exception):
    """A text that is no document; carries everything that was found until reading had to stop."""

    def __init__(self, flaws: list[Flaw]) -> None:
        super().__init__("; ".join(flaw.message for flaw in flaws))
        self.flaws = flaws


def data(node: Node) -> Any:
    """The plain value of a node: dict, list, str, int, float, bool or None."""
    if isinstance(node, MappingNode):
        return {key: data(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [data(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    return node.value


def kind(node: Node) -> str:
    """What a person calls the node in a message, a scalar with its value, shortened."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    assert isinstance(node, ScalarNode)
    value = node.value
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"the boolean {node.text}"
    shown = node.text if len(node.text) <= 40 else node.text[:37] + "..."
    return f'the text "{shown}"' if isinstance(value, str) else f"the number {shown}"


def read(text: str) -> tuple[Node, list[Flaw]]:
    """Read one document. Raises DocumentError; the flaws that come back are warnings."""
    root, flaws = read_with_flaws(text)
    if any(flaw.level == "error" for flaw in flaws):
        raise DocumentError(flaws)
    return root, flaws


def read_with_flaws(text: str) -> tuple[Node, list[Flaw]]:
    """Read one document as far as it can be read: duplicate keys and unknown tags come back as errors beside it.

    Raises DocumentError when it can't be read to its end.
    """
    surrogate = re.search("[\ud800-\udfff]", text)
    if surrogate:
        line, column = _place(text, surrogate.start())
        raise DocumentError([Flaw(line, column, "half a surrogate pair is no character; remove it")])
    if len(text.encode()) > MAX_BYTES:
        raise DocumentError([Flaw(1, 1, TOO_LARGE)])
    _check_directives(text)
    reader = _Reader(text)
    try:
        root = reader.run()
    except yaml.MarkedYAMLError as error:
        reader.flaws.append(_syntax_flaw(error, text))
        raise DocumentError(reader.flaws) from None
    except yaml.reader.ReaderError as error:
        reader.flaws.append(_character_flaw(error, text))
        raise DocumentError(reader.flaws) from None
    except _Stop:
        raise DocumentError(reader.flaws) from None
    reader.tell_unsaid()
    return root, reader.flaws


def large_parts(root: Node) -> list[Node]:
    """What is left of a document after its reading, to be let go of one by one; empties the document."""
    found: list[Node] = []
    for _, top in root.entries.values() if isinstance(root, MappingNode) else ():
        if isinstance(top, SequenceNode):
            found += top.items
            top.items.clear()
    return found


class _Stop(Exception):
    """Reading on makes no sense; the reason is among the flaws."""


@dataclass(slots=True)
class _Open:
    """A collection whose end event has not come yet."""

    node: SequenceNode | MappingNode
    anchor: str | None
    key: ScalarNode | None = None  #: of a mapping: read, its value not yet


class _Reader:
    """Builds nodes from the parser's events."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.flaws: list[Flaw] = []
        self.told: Counter[str] = Counter()  #: flaws, by level; the first ones are told of one by one
        self.nodes = 0
        self.aliased_text = 0
        self.anchors: dict[str, Node | None] = {}  # none while the anchored collection is still open
        self.aliased = 0
        self.root: Node | None = None
        self.open: list[_Open] = []

    def run(self) -> Node:
        for event in yaml.parse(self.text, Loader=_LOADER):
            yield_turn()
            if isinstance(event, yaml.ScalarEvent):
                self.take(self.scalar(event))
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self.start(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self.end()
            elif isinstance(event, yaml.AliasEvent):
                self.take(self.alias(event))
            elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                self.stop(event, "a second document begins here; a rules file is one document, remove the ---")
        if self.root is None or (isinstance(self.root, ScalarNode) and self.root.value is None):
            self.flaws.append(Flaw(1, 1, "the file is empty; it needs at least sources: and rules:"))
            raise _Stop
        return self.root

    def flaw(self, place: Any, message: str, level: Literal["error", "warning"] = "error") -> None:
        """Report a flaw at a node, or at a parser's event."""
        line, column = _at(place)
        self.told[level] += 1
        if self.told[level] <= MAX_FLAWS:
            self.flaws.append(Flaw(line, column, message, level))

    def tell_unsaid(self) -> None:
        """Say how many flaws were left out."""
        levels: tuple[Literal["error", "warning"], ...] = ("error", "warning")
        for level in levels:
            unsaid = self.told[level] - MAX_FLAWS
            if unsaid > 0:
                message = f"{unsaid:,} more {level}s like those above are not shown; mend those first"
                self.flaws.append(Flaw(len(self.lines), 1, message, level))

    def stop(self, place: Any, message: str) -> NoReturn:
        """Report a flaw after which reading on makes no sense."""
        self.flaws.append(Flaw(*_at(place), message))
        raise _Stop

    def start(self, event: Any) -> None:
        if len(self.open) >= MAX_DEPTH:
            self.stop(event, f"nested deeper than {MAX_DEPTH} levels")
        mark = event.start_mark
        self.check_tag(event)
        node: MappingNode | SequenceNode
        if isinstance(event, yaml.MappingStartEvent):
            node = MappingNode(mark.line + 1, mark.column + 1, {})
        else:
            node = SequenceNode(mark.line + 1, mark.column + 1, [])
        if event.anchor:
            self.anchors[event.anchor] = None
        self.open.append(_Open(node, event.anchor))

    def end(self) -> None:
        done = self.open.pop()
        if done.anchor:
            self.anchors[done.anchor] = done.node
        self.take(done.node)

    def take(self, node: Node) -> None:
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
            _count_in(top.node, node)
        elif top.key is None:
            top.key = self.key(node)
        else:
            self.enter(top.node, top.key, node)
            top.key = None

    def enter(self, mapping: MappingNode, key: ScalarNode, value: Node) -> None:
        if key.text in mapping.entries:
            first = mapping.entries[key.text][0]
            self.flaw(key, f'duplicate key "{_short(key.text)}"; it is on line {first.line} already')
            return
        mapping.entries[key.text] = (key, value)
        _count_in(mapping, value)
        mapping.length += key.length

    def key(self, node: Node) -> ScalarNode:
        if isinstance(node, MappingNode) and self.is_braces(node):
            self.stop(node, 'a value that starts with {{ needs quotes: "{{ … }}"')
        if not isinstance(node, ScalarNode):
            self.stop(node, "a key must be text, not a list or a mapping; quote it")
        if node.value is None and node.plain:
            self.stop(node, "a key is missing before the colon (or it is null); write its name, or quote it")
        if node.text == "<<" and node.plain:
            self.stop(node, "merge keys (<<) are not supported; write the keys out, or use defaults:")
        return node

    def is_braces(self, node: Node) -> bool:
        """Whether the node, a flow mapping used as a key, is the inner brace of an unquoted template."""
        line = self.lines[node.line - 1]
        return line[max(0, node.column - 2) : node.column] == "{{" or line[node.column - 1 : node.column + 1] == "{{"

    def alias(self, event: Any) -> Node:
        name = event.anchor
        if name not in self.anchors:
            self.stop(event, f"*{_short(name)} names no anchor above it; quote a value that starts with an asterisk")
        node = self.anchors[name]
        if node is None:
            self.stop(event, f"*{_short(name)} contains itself")
        if len(self.open) + node.height > MAX_DEPTH:
            self.stop(event, f"nested deeper than {MAX_DEPTH} levels, by *{_short(name)}")
        self.aliased += node.size
        self.aliased_text += node.length
        if self.aliased > MAX_ALIASED:
            self.stop(event, f"the aliases add up to more than {MAX_ALIASED} values")
        if self.aliased_text > MAX_ALIASED_TEXT:
            self.stop(event, f"the aliases add up to more than {MAX_ALIASED_TEXT // 1024**2} MiB of text")
        return node

    def scalar(self, event: Any) -> ScalarNode:
        mark = event.start_mark
        value: Scalar = event.value
        if event.tag is not None:
            value = self.tagged(event)
        elif event.implicit[0]:
            value = self.resolve(event)
            self.check_comment(event)
        node = ScalarNode(mark.line + 1, mark.column + 1, value, event.value, plain=event.implicit[0])
        node.length = len(event.value)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def check_comment(self, event: Any) -> None:
        """Warn of `main #old`, which is `main`: a comment for people has a space after its #."""
        end = event.end_mark
        line = self.lines[end.line] if end.line < len(self.lines) else ""
        if event.value and _CUT.match(line, end.column):
            rest = line[end.column :].strip()[:40]
            self.flaw(event, f'"{rest}" is a comment here; quote the value if it belongs to it', "warning")

    def check_tag(self, event: Any) -> str | None:
        if event.tag is None or event.tag == "!":
            return None
        name = str(event.tag).removeprefix(_TAG)
        if name not in _KNOWN_TAGS or not str(event.tag).startswith(_TAG):
            self.flaw(
                event, f"the tag {_short(event.tag)} is not known; quote a value that starts with an exclamation mark"
            )
            return None
        return name

    def tagged(self, event: Any) -> Scalar:
        name = self.check_tag(event)
        if name in (None, "str"):
            return str(event.value)
        value = self.resolve(event)
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(name or "")
        if name == "float" and type(value) is int:
            return float(value)
        if wanted is None or type(value) is not wanted:
            self.flaw(event, f'"{_short(event.value)}" is not what its tag !!{name} says')
        return value

    def resolve(self, event: Any) -> Scalar:
        """A plain scalar by the core schema."""
        text: str = event.value
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if text[0] not in "0123456789+-.":
            return text
        if _INT.fullmatch(text):
            if len(text.lstrip("+-")) > 1 and text.lstrip("+-")[0] == "0":
                self.flaw(
                    event,
                    f"{_short(text)} is read as the number {_short(str(int(text)))}; quote it if it is text",
                    "warning",
                )
            return _in_range(int(text))
        if _OCTAL.fullmatch(text):
            return _in_range(int(text, 0))
        if _HEX.fullmatch(text):
            return _in_range(int(text, 0))
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isinf(number):
                self.flaw(event, f"the number {text[:40]} is too large; quote it if it is text")
            return number
        if _NOT_FINITE.fullmatch(text):
            self.flaw(event, f"{text} can't occur in a payload; quote it if it is text")
        return text


def _at(place: Any) -> tuple[int, int]:
    """Line and column of a node, or of a parser's event."""
    if isinstance(place, Node):
        return place.line, place.column
    return place.start_mark.line + 1, place.start_mark.column + 1


def _count_in(whole: SequenceNode | MappingNode, part: Node) -> None:
    whole.size += part.size
    whole.length += part.length
    whole.height = max(whole.height, part.height + 1)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _in_range(number: int) -> int | float:
    """As payloads have it: beyond 64 bits the JSON reader gives a float."""
    return number if -(2**63) <= number < 2**64 else float(number)


_CUT = re.compile(r"\s+#[^\s#!]")  #: a comment that looks like a part of the value before it

_TRAPS = (
    (re.compile(r"unknown escape character"), "use single quotes, in which a backslash is just a backslash"),
    (
        re.compile(r"mapping values are not allowed"),
        "align it with its neighbours, or quote a value that contains a colon and a space",
    ),
    (re.compile(r"alphabetic or numeric character|while scanning an alias"), "quote a value that starts with * or &"),
    (re.compile(r"cannot start any token"), "quote a value that starts with @, ` or %"),
)


_DIRECTIVE = re.compile(r"^%TAG\b", re.MULTILINE)


def _check_directives(text: str) -> None:
    """Raise DocumentError for a text that would keep the parser busy for ever."""
    for number, found in enumerate(_DIRECTIVE.finditer(text), start=1):
        if number > MAX_DIRECTIVES:
            message = f"more than {MAX_DIRECTIVES} %TAG lines; a rules file needs none, remove them"
            raise DocumentError([Flaw(*_place(text, found.start()), message)])


def _place(text: str, position: int) -> tuple[int, int]:
    """Line and column, from 1, of a position in the text."""
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


def _syntax_flaw(error: yaml.MarkedYAMLError, text: str) -> Flaw:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    here = lines[line - 1] if line <= len(lines) else ""
    problem = error.problem or error.context or "this can't be read"
    if "maximum nesting depth" in problem:  # libyaml's own bound, which looks some tokens ahead of ours
        return Flaw(line, column, f"nested deeper than {MAX_DEPTH} levels")
    cure = _cure(f"{error.context or ''} {problem}", here, column)
    if not cure and error.context and error.context_mark:
        cure = f"{error.context}, which began on line {error.context_mark.line + 1}"
    return Flaw(line, column, f"not YAML: {problem}" + (f"; {cure}" if cure else ""))


def _cure(problem: str, here: str, column: int) -> str:
    """What to do about a syntax problem that the parser found at this column of this line."""
    if here[column - 1 : column] == "\t" or (not here[: column - 1].strip() and "\t" in here[: column - 1]):
        return "indent with spaces, never with tabs"
    if re.search(r"[{,]\s*\$[\w.@*-]*\[", here):
        return """quote a path with brackets inside { }: {"$.a[*]": x}"""
    if "{{" in here and ("flow" in problem or "block mapping" in problem):
        return 'quote a value with {{ }}: "{{ … }}"'
    if here[column - 1 : column + 1] == "{%" or here[column - 2 : column] == "{%":
        return 'quote a value with {% %}: "{% … %}"'
    if "flow" in problem and here[column - 1 : column] == ":":
        return "quote a value that contains a colon and a space"
    if "flow" in problem and here[column - 2 : column - 1] == "'":
        return """a quote inside single quotes is written twice, or stands in double quotes: "it's\""""
    return next((cure for pattern, cure in _TRAPS if pattern.search(problem)), "")


def _character_flaw(error: yaml.reader.ReaderError, text: str) -> Flaw:
    position = error.position if isinstance(error.position, int) else 0
    line, column = _place(text, position)
    code = error.character if isinstance(error.character, int) else ord(str(error.character)[:1] or "\0")
    return Flaw(line, column, f"the character U+{code:04X} is not allowed in YAML; remove it, or escape it in quotes")
