"""Reads the entries of `retry.on`: the failures after which an action is tried again."""

import re
from collections.abc import Sequence
from typing import Any

from router.domain.nearest_word import did_you_mean, shortened
from router.domain.outcomes import Cause
from router.domain.retry_policy import RetryOn
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import SequenceNode

STATUSES = (300, 599)  #: 1xx is not final and 2xx is success; the last is 599 (RFC 9110, section 15)
EXITS = (1, 255)  #: 0 is success
# In `defaults` the type of the action is unknown; the ranges distinguish statuses from exit codes.
_BOUNDS = {Cause.STATUS: STATUSES, Cause.EXIT: EXITS}
_RANGE = re.compile(r"([0-9]{1,3}) ?- ?([0-9]{1,3})")
_CLASS = re.compile(r"([0-9])xx")
_ALMOST_CLASS = re.compile(r"([3-5][0-9])x|([3-5])xx", re.IGNORECASE)
EVERY_CAUSE = tuple(cause for cause in Cause if cause is not Cause.FAULT)

Entries = tuple[RetryOn, ...]


def load_on(node_path: NodePath, causes: Sequence[Cause]) -> Entries:
    """Read a `retry.on` for actions with these causes. Wrong entries are reported and left out."""
    if not isinstance(node_path.node, SequenceNode):
        node_path.error(f"expected a list, each entry {_wanted(causes)}; found {node_path.found()}")
        return ()
    if not node_path.node.items:
        node_path.error("expected at least one; to try only once, leave on out and write attempts: 1")
    found: list[RetryOn] = []
    for item in node_path.items():
        entry = _entry(item, causes)
        if entry is None:
            continue
        other = next((other for other in found if _overlap(entry, other)), None)
        if other is None:
            found.append(entry)
        else:
            item.error(_repeated(entry, other))
    return tuple(found)


def _overlap(one: RetryOn, other: RetryOn) -> bool:
    return one.cause is other.cause and one.first <= other.last and other.first <= one.last


def _repeated(entry: RetryOn, other: RetryOn) -> str:
    if str(entry) == str(other):
        return f"duplicate {entry}; leave one out"
    if other.first <= entry.first and entry.last <= other.last:
        return f"{entry} is in {other} already; leave it out"
    if entry.first <= other.first and other.last <= entry.last:
        return f"{entry} has {other} in it; leave that out"
    joined = RetryOn(entry.cause, min(entry.first, other.first), max(entry.last, other.last))
    return f"{entry} overlaps {other}; write {joined} for both"


def _entry(node_path: NodePath, causes: Sequence[Cause]) -> RetryOn | None:
    value = node_path.data
    if type(value) is int:
        return _range(node_path, value, value, causes)
    if not isinstance(value, str) or not value:
        node_path.error(f"expected {_wanted(causes)}; found {node_path.found()}")
        return None
    if value.isascii() and value.isdigit():
        node_path.error(f'found the text "{shortened(value)}"; remove the quotes')
        return None
    if by_class := _CLASS.fullmatch(value):
        start = int(by_class[1]) * 100
        return _range(node_path, start, start + 99, causes)
    if by_range := _RANGE.fullmatch(value):
        first, last = int(by_range[1]), int(by_range[2])
        if first > last:
            node_path.error(f"the range is the wrong way round; write {last}-{first}")
            return None
        return _range(node_path, first, last, causes)
    return _word(node_path, value, causes)


def _range(node_path: NodePath, first: int, last: int, causes: Sequence[Cause]) -> RetryOn | None:
    for cause, (lowest, highest) in _BOUNDS.items():
        if cause in causes and lowest <= first and last <= highest:
            return RetryOn(cause, first, last)
    node_path.error(f"expected {_wanted(causes)}; found {shortened(str(node_path.data))}{_why(first, last, causes)}")
    return None


def _why(first: int, last: int, causes: Sequence[Cause]) -> str:
    if Cause.STATUS in causes and first <= 299 and last >= 200:
        return ", but 2xx is success"
    if Cause.EXIT in causes and first == 0:
        return ", but 0 is success"
    return ""


def _word(node_path: NodePath, value: str, causes: Sequence[Cause]) -> RetryOn | None:
    words = [cause.value for cause in causes if cause not in _BOUNDS]
    if value in words:
        return RetryOn(Cause(value))
    almost = _ALMOST_CLASS.fullmatch(value)
    if almost is not None and Cause.STATUS in causes:
        cure = f'"{almost[1]}0-{almost[1]}9"' if almost[1] else f"{almost[2]}xx"
        node_path.error(f'unknown failure "{value}"; write {cure}')
    elif value in (cause.value for cause in EVERY_CAUSE if cause not in _BOUNDS):
        node_path.error(f"expected {_wanted(causes)}; found {value}, a cause that can't happen here")
    else:
        near = did_you_mean(value, words)
        cure = near if "?" in near else f"; expected {_wanted(causes)}"
        node_path.error(f'unknown failure "{shortened(value)}"{cure}')
    return None


def _wanted(causes: Sequence[Cause]) -> str:
    """The allowed entries, in words."""
    parts = []
    if Cause.STATUS in causes:
        parts.append('a status from 300 to 599 (503, 5xx, "500-599")')
    if Cause.EXIT in causes:
        parts.append('an exit code from 1 to 255 (75, "64-78")')
    parts += [cause.value for cause in causes if cause not in _BOUNDS]
    return " or ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def on_schema(causes: Sequence[Cause]) -> dict[str, Any]:
    """The JSON Schema of a list for actions that fail by these causes."""
    numbers = [{"type": "integer", "minimum": _BOUNDS[c][0], "maximum": _BOUNDS[c][1]} for c in causes if c in _BOUNDS]
    texts: list[dict[str, Any]] = []
    if numbers:
        classes = "[345]xx|" if Cause.STATUS in causes else ""
        texts = [{"type": "string", "pattern": f"^(?:{classes}{_RANGE.pattern})$"}]
    words = [cause.value for cause in causes if cause not in _BOUNDS]
    return {"type": "array", "minItems": 1, "items": {"anyOf": [{"enum": words}, *numbers, *texts]}}
