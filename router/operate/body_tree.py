"""The payload of an event as a tree for display: as the rules read it, with numbers as they were sent, and limited in
size."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from router.domain.events import Event
from router.payload.body import Body, Format
from router.rules.parsing import read_event
from router.rules.source import Source

LARGEST = 128 * 1024  #: bytes of a body that becomes a tree; most webhooks have less than 30 kB
MOST_NODES = 1_000  #: of a tree, so that the page stays below some 200 kB
MOST_CHILDREN = 200  #: of one list or mapping
DEEPEST = 24  #: levels; deeper values are counted
LONGEST = 1_000  #: characters of one text, key or number
_EXACT_DIGITS = 15  #: a float holds any number with this many digits


@dataclass(slots=True)
class TreeNode:
    """A value of the payload."""

    kind: str  #: mapping, list, text, number or word (true, false, null)
    key: str | None = None  #: the key in a mapping
    text: str = ""  #: of a number: as it was sent; of a text: its characters
    seen: str = ""  #: if the rules read the number as another one: that one
    cut: int = 0  #: characters of the text that are left out
    overwritten: bool = False  #: the same key comes again, and the rules read the last one
    count: int = 0  #: values in a list or mapping
    left_out: int = 0  #: values that are not in `children`
    children: "list[TreeNode]" = field(default_factory=list)


class _Number(str):
    """A number as it was sent."""

    __slots__ = ()


class _Pairs(tuple[tuple[str, Any], ...]):
    """A mapping as it was sent: keys may repeat."""

    __slots__ = ()


def body_tree(event: Event, source: Source | None) -> TreeNode | None:
    """The payload, with at most MOST_NODES values. None if it is text or too large. Raises PayloadError."""
    if len(event.body) > LARGEST:
        return None
    body = read_event(event, source, bounded=False)
    if body.format is Format.TEXT or not event.body:
        return None
    return _tree(_exact(event.body, body))


def _exact(data: bytes, body: Body) -> Any:
    """The payload; of JSON, with its numbers and keys as they were sent."""
    if body.format is not Format.JSON:
        return body.payload
    try:
        text = data.decode(json.detect_encoding(data)).removeprefix("\ufeff")
        return json.loads(text, parse_int=_Number, parse_float=_Number, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):  # its charset comes from the Content-Type, or it was repaired
        return body.payload


def _tree(payload: Any) -> TreeNode:
    """Build it level by level, so that a large part of the payload does not hide the parts after it."""
    root = _node(payload)
    queue, room = deque([(payload, root, 0)]), MOST_NODES - 1
    while queue:
        value, node, depth = queue.popleft()
        shown = min(node.count, MOST_CHILDREN, room) if depth < DEEPEST else 0
        node.left_out, room = node.count - shown, room - shown
        for number, (key, inner, overwritten) in enumerate(_entries(value)):
            if number == shown:
                break
            child = _node(inner)
            child.key = None if key is None else _cut(key)[0]
            child.overwritten = overwritten
            node.children.append(child)
            if child.count:
                queue.append((inner, child, depth + 1))
    return root


def _entries(value: Any) -> Iterator[tuple[str | None, Any, bool]]:
    """Key, value, and whether the same key comes again."""
    if isinstance(value, _Pairs):
        last = {key: number for number, (key, _) in enumerate(value)}
        yield from ((key, inner, last[key] != number) for number, (key, inner) in enumerate(value))
    elif isinstance(value, dict):
        yield from ((key, inner, False) for key, inner in value.items())
    elif isinstance(value, list):
        yield from ((None, inner, False) for inner in value)


def _node(value: Any) -> TreeNode:
    if isinstance(value, _Pairs | dict):
        return TreeNode("mapping", count=len(value))
    if isinstance(value, list):
        return TreeNode("list", count=len(value))
    if isinstance(value, _Number):
        text, cut = _cut(value)
        return TreeNode("number", text=text, cut=cut, seen=_seen(value))
    if isinstance(value, str):
        text, cut = _cut(value)
        return TreeNode("text", text=text, cut=cut)
    if value is None or isinstance(value, bool):
        return TreeNode("word", text=json.dumps(value))
    return TreeNode("number", text=_cut(json.dumps(value, default=str))[0])


def _seen(number: str) -> str:
    """The number that the rules read, if it is another one: a float holds some 16 digits."""
    if len(number) <= _EXACT_DIGITS and "e" not in number and "E" not in number:
        return ""
    if number.lstrip("-").isdigit() and -(2**63) <= int(number[:21]) < 2**64 and len(number) < 21:
        return ""
    read = float(number)
    try:
        return "" if Decimal(number) in (Decimal(repr(read)), Decimal(read)) else repr(read)
    except InvalidOperation:
        return repr(read)


def _cut(text: str) -> tuple[str, int]:
    return str(text[:LONGEST]), max(0, len(text) - LONGEST)
