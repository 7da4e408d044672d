"""The operators that judge one value: each compiles its operand into a predicate.

A new operator is one function and one line in `OPERATORS`.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import re2

from router.domain.networks import IPAddress, network
from router.rules.match.values import decimal, is_number, same, scalar_key
from router.rules.yaml.document import MappingNode, Node, ScalarNode, SequenceNode, data, kind

Predicate = Callable[[Any], bool]
"""Judges one value; another type than the operator's is False, never an error."""

MAX_PATTERN_MEMORY = 1 << 20  #: bytes of a pattern's compiled program; more is a counted repeat gone wild


class OperandError(Exception):
    """An operand that the operator can't take; the text says what it takes. `node` is where."""

    def __init__(self, message: str, node: Node) -> None:
        super().__init__(message)
        self.node = node


@dataclass(frozen=True, slots=True)
class Flags:
    """What stands beside an operator and changes it."""

    fold: bool = False  #: ignore_case: true
    text_only: bool = False  #: the field's values are always text: equality with anything else is a mistake
    decimals: bool = False  #: numeric operators read decimals in text (header, query, form)
    elements: dict[int, Any] = field(default_factory=dict, compare=False, repr=False)  #: conditions of `elem`, by node


def _text(node: Node, *, what: str = "text") -> str:
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return node.value
    cure = "; quote it" if isinstance(node, ScalarNode) and node.value is not None else ""
    if isinstance(node, SequenceNode):
        cure = "; for several, give the field a list of operator maps"
    raise OperandError(f"expected {what}, found {kind(node)}{cure}", node)


def _needle(node: Node, flags: Flags) -> str:
    text = _text(node)
    if not text:
        raise OperandError("empty text is in every text; use exists: true, or equals: '' for empty text", node)
    return text.casefold() if flags.fold else text


def _on_text(test: Callable[[str], bool], flags: Flags) -> Predicate:
    if flags.fold:
        return lambda value: isinstance(value, str) and test(value.casefold())
    return lambda value: isinstance(value, str) and test(value)


def equal(node: Node, flags: Flags) -> Predicate:
    """The value is the same: deep for lists and mappings, typed for all."""
    wanted = data(node)
    if isinstance(wanted, str):
        if flags.fold:
            wanted = wanted.casefold()
        return _on_text(lambda value: value == wanted, flags)
    check_text_field(node, flags)
    if wanted is None or isinstance(wanted, bool):
        return lambda value: value is wanted
    if not isinstance(wanted, list | dict):
        return lambda value: value == wanted and not isinstance(value, bool)
    return lambda value: same(value, wanted)


def check_text_field(node: Node, flags: Flags) -> None:
    """A header or query value is text, which no number or boolean equals."""
    if not flags.text_only or (isinstance(node, ScalarNode) and isinstance(node.value, str)):
        return
    if isinstance(node, ScalarNode) and node.value is not None:
        raise OperandError(f'the values of this field are text; quote it: "{node.text}"', node)
    raise OperandError(f"the values of this field are text, never {kind(node)}; exists: false says missing", node)


def one_of(node: Node, flags: Flags) -> Predicate:
    """The value is the same as one of the list's."""
    if not isinstance(node, SequenceNode):
        raise OperandError(f"expected a list, found {kind(node)}", node)
    if not node.items:
        raise OperandError("an empty list matches nothing", node)
    if all(isinstance(item, ScalarNode) for item in node.items):
        return _one_of_scalars(node, flags)
    tests = [equal(item, flags) for item in node.items]
    return lambda value: any(test(value) for test in tests)


def _one_of_scalars(node: SequenceNode, flags: Flags) -> Predicate:
    values = []
    for item in node.items:
        check_text_field(item, flags)
        value = data(item)
        values.append(value.casefold() if flags.fold and isinstance(value, str) else value)
    wanted = frozenset(scalar_key(value) for value in values)

    def test(value: Any) -> bool:
        if isinstance(value, list | dict):
            return False
        if flags.fold and isinstance(value, str):
            value = value.casefold()
        return scalar_key(value) in wanted

    return test


def prefix(node: Node, flags: Flags) -> Predicate:
    """The text begins with the operand."""
    wanted = _needle(node, flags)
    return _on_text(lambda value: value.startswith(wanted), flags)


def suffix(node: Node, flags: Flags) -> Predicate:
    """The text ends with the operand."""
    wanted = _needle(node, flags)
    return _on_text(lambda value: value.endswith(wanted), flags)


def contains(node: Node, flags: Flags) -> Predicate:
    """The text has the operand in it, or the list has an item that equals it."""
    item = equal(node, Flags(fold=flags.fold))
    if not (isinstance(node, ScalarNode) and isinstance(node.value, str)):
        check_text_field(node, flags)
        return lambda value: isinstance(value, list) and any(item(x) for x in value)
    wanted = _needle(node, flags)
    in_text = _on_text(lambda value: wanted in value, flags)
    return lambda value: in_text(value) or (isinstance(value, list) and any(item(x) for x in value))


def _number(node: Node) -> int | float:
    if isinstance(node, ScalarNode) and is_number(node.value):
        return node.value  # type: ignore[return-value]  # is_number has just said so
    cure = "; remove the quotes" if isinstance(node, ScalarNode) and decimal(node.text) is not None else ""
    raise OperandError(f"expected a number, found {kind(node)}{cure}", node)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Node, Flags], Predicate]:
    def build(node: Node, flags: Flags) -> Predicate:
        bound = _number(node)

        def test(value: Any) -> bool:
            if flags.decimals and isinstance(value, str):
                value = decimal(value)
            return is_number(value) and compare(value, bound)

        return test

    return build


def regex(node: Node, flags: Flags) -> Predicate:
    """The pattern (RE2 syntax) matches somewhere in the text; ^ and $ anchor."""
    text = _text(node, what="a regular expression")
    if not text:
        raise OperandError("an empty pattern matches every text; use exists: true, or equals: '' for empty text", node)
    pattern = _compile(text, node, flags)
    return lambda value: isinstance(value, str) and pattern.search(value) is not None


_NEVER = "don't exist in RE2, which never backtracks"
_NOT_RE2 = (
    (
        re.compile(r"\(\?(=|!|<=|<!)"),
        "lookahead and lookbehind don't exist in RE2, which never backtracks; use not: beside it",
    ),
    (re.compile(r"\\[1-9]|\\k[<{']|\(\?P=|\\g\d"), "backreferences don't exist in RE2, which never backtracks"),
    (
        re.compile(r"\(\?>|[*+?}]\+"),
        "atomic groups and possessive repeats don't exist in RE2, which never backtracks; leave them out",
    ),
    (re.compile(r"\(\?#"), "comments don't exist in RE2; write a YAML comment"),
    (re.compile(r"\(\?\("), "conditionals don't exist in RE2; write the alternatives: a|b"),
    (re.compile(r"\\Z"), "\\Z doesn't exist in RE2; the end of the text is \\z, or $"),
    (
        re.compile(r"\{\d{4,}|\{\d*,\d{4,}|\{\d+.*\{\d+"),
        "repeats add up to 1,000 at the most; use + with length: beside it",
    ),
)


def _compile(text: str, node: Node, flags: Flags) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY
    options.case_sensitive = not flags.fold
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        reason = next((why for pattern, why in _NOT_RE2 if pattern.search(text)), reason)
        raise OperandError(f"not a regular expression of RE2: {reason}", node) from None


def glob(node: Node, flags: Flags) -> Predicate:
    """The whole text matches; * is any text, / included, and ? any one character."""
    pattern = _compile(glob_pattern(_needle(node, flags)), node, flags)
    return _on_text(lambda value: pattern.fullmatch(value) is not None, flags)


def glob_pattern(text: str) -> str:
    """The regular expression of a glob, for the whole text."""
    parts = (".*" if c == "*" else "." if c == "?" else re2.escape(c) for c in re.sub(r"\*+", "*", text))
    return "(?s)" + "".join(parts)


def cidr(node: Node, flags: Flags) -> Predicate:  # noqa: ARG001 - the operators' common signature
    """The text is an IP address of the network; IPv4 in IPv6 counts as IPv4."""
    text = _text(node, what="a network such as 10.0.0.0/8")
    try:
        wanted = network(text)
    except ValueError as error:
        raise OperandError(f"not a network such as 10.0.0.0/8: {error}{_nearest_network(text)}", node) from None

    def test(value: Any) -> bool:
        address = address_in(value) if isinstance(value, str) else None
        return address is not None and address in wanted

    return test


def address_in(text: str) -> IPAddress | None:
    """The address that a text is, IPv4 in IPv6 as IPv4; none when it is no address."""
    if len(text) > 64:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _nearest_network(text: str) -> str:
    try:
        return f"; did you mean {ipaddress.ip_network(text, strict=False)}?"
    except ValueError:
        return ""


def length(node: Node, flags: Flags) -> Predicate:  # noqa: ARG001 - the operators' common signature
    """The number of characters, items or keys: a number, or a map of comparisons."""
    if isinstance(node, MappingNode):
        test = _comparisons(node)
    else:
        wanted = _number(node)

        def test(size: int) -> bool:
            return size == wanted

    return lambda value: isinstance(value, str | list | dict) and test(len(value))


def _comparisons(node: MappingNode) -> Callable[[int], bool]:
    if not node.entries:
        raise OperandError("expected gt, gte, lt, lte or equals, found nothing", node)
    tests = []
    for name, (key, operand) in node.entries.items():
        if name not in ("gt", "gte", "lt", "lte", "equals"):
            raise OperandError(f'"{name}" doesn\'t compare lengths; use gt, gte, lt, lte or equals', key)
        _number(operand)
        tests.append(OPERATORS[name](operand, Flags()))
    return lambda size: all(test(size) for test in tests)


OPERATORS: dict[str, Callable[[Node, Flags], Predicate]] = {
    "equals": equal,
    "in": one_of,
    "prefix": prefix,
    "suffix": suffix,
    "contains": contains,
    "regex": regex,
    "glob": glob,
    "gt": _ordered(lambda value, bound: value > bound),
    "gte": _ordered(lambda value, bound: value >= bound),
    "lt": _ordered(lambda value, bound: value < bound),
    "lte": _ordered(lambda value, bound: value <= bound),
    "cidr": cidr,
    "length": length,
}

FOLDING = frozenset({"equals", "in", "prefix", "suffix", "contains", "regex", "glob"})
"""The operators that `ignore_case` changes."""

NUMERIC = frozenset({"gt", "gte", "lt", "lte"})
"""The operators that read decimals in text fields."""
