"""The retry policy of an action: layers of keys, of which the later one wins key by key."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from router.model import Cause, RetryOn, RetryPolicy
from router.plugins import ActionKind
from router.rules.document import SequenceNode
from router.rules.reading import read
from router.rules.schema import RetryOptions
from router.rules.spot import Spot, did_you_mean, shortened

STATUSES = (300, 599)  #: 1xx is no final answer and 2xx is success; RFC 9110, section 15, ends at 599
EXITS = (1, 255)  #: 0 is success
# Where the type of the action is not known, a number's size tells a status from an exit code.
_BOUNDS = {Cause.STATUS: STATUSES, Cause.EXIT: EXITS}
_RANGE = re.compile(r"([0-9]{1,3}) ?- ?([0-9]{1,3})")
_CLASS = re.compile(r"([0-9])xx")
_ALMOST_CLASS = re.compile(r"([0-9][0-9])x|([0-9])xx", re.IGNORECASE)
_EVERY_CAUSE = tuple(cause for cause in Cause if cause is not Cause.FAULT)
_COMMON = (Cause.TIMEOUT,)  #: what every type has

Entries = tuple[RetryOn, ...]


@dataclass(frozen=True, slots=True)
class RetryLayer:
    """A `retry` of the file: of `defaults`, of a target or of an action."""

    spot: Spot
    options: RetryOptions
    on: Entries | None  #: none: not said here


def load_retry(spot: Spot, kind: ActionKind | None) -> RetryLayer | None:
    """Read a `retry` for actions of the kind, or of any; none after an error."""
    options = read(spot, RetryOptions)
    on = _entries(spot.at("on"), kind) if spot.has("on") else None
    return RetryLayer(spot, options, on) if options is not None else None


def policy(kind: ActionKind, layers: Sequence[RetryLayer]) -> RetryPolicy:
    """The policy of an action of the kind: what the type sets, then the layers; reports what doesn't go together."""
    made = _with(RetryPolicy(), RetryOptions.model_validate(dict(kind.RETRY)))
    for layer in layers:
        made = _with(made, layer.options)
        on = None if layer.on is None else _concerning(layer.on, kind)
        made = made if on is None else replace(made, on=on)
    bounds = [layer.spot for layer in layers if layer.spot.has("initial") or layer.spot.has("max")]
    if made.initial > made.max and bounds:
        bounds[-1].error(f"initial ({made.initial:g}s) is longer than max ({made.max:g}s)")
    return made


def _with(made: RetryPolicy, options: RetryOptions) -> RetryPolicy:
    given = options.model_dump(exclude_none=True, exclude={"on"})
    if "interrupted" in given:
        given["retry_interrupted"] = given.pop("interrupted") == "retry"
    return replace(made, **given)


def _concerning(on: Entries, kind: ActionKind) -> Entries | None:
    """What a list says to actions of the kind; none when it speaks of other types only.

    A list of `defaults` that was written for forwards must not make every append whose disk is full dead at once.
    """
    mine = tuple(entry for entry in on if entry.cause in kind.CAUSES)
    only_common = all(entry.cause in _COMMON for entry in on)
    return mine if only_common or any(entry.cause not in _COMMON for entry in mine) else None


def _entries(spot: Spot, kind: ActionKind | None) -> Entries:
    causes = kind.CAUSES if kind else _EVERY_CAUSE
    if not isinstance(spot.node, SequenceNode):
        spot.error(f"expected a list of {_wanted(causes)}; found {spot.found()}")
        return ()
    if not spot.node.items:
        spot.error("expected at least one; for one try and never again, leave on out and write attempts: 1")
    found: list[RetryOn] = []
    for item in spot.items():
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


def _entry(spot: Spot, causes: tuple[Cause, ...]) -> RetryOn | None:
    value = spot.data
    if type(value) is int:
        return _range(spot, value, value, causes)
    if not isinstance(value, str) or not value:
        spot.error(f"expected {_wanted(causes)}; found {spot.found()}")
        return None
    if value.isascii() and value.isdigit():
        spot.error(f'found the text "{shortened(value)}"; remove the quotes')
        return None
    if by_class := _CLASS.fullmatch(value):
        start = int(by_class[1]) * 100
        return _range(spot, start, start + 99, causes)
    if by_range := _RANGE.fullmatch(value):
        first, last = int(by_range[1]), int(by_range[2])
        if first > last:
            spot.error(f"the range is the wrong way round; write {last}-{first}")
            return None
        return _range(spot, first, last, causes)
    return _word(spot, value, causes)


def _range(spot: Spot, first: int, last: int, causes: tuple[Cause, ...]) -> RetryOn | None:
    for cause, (lowest, highest) in _BOUNDS.items():
        if cause in causes and lowest <= first and last <= highest:
            return RetryOn(cause, first, last)
    spot.error(f"expected {_wanted(causes)}; found {shortened(str(spot.data))}{_why(first, last, causes)}")
    return None


def _why(first: int, last: int, causes: tuple[Cause, ...]) -> str:
    if Cause.STATUS in causes and first <= 299 and last >= 200:
        return ", but 2xx is success"
    if Cause.EXIT in causes and first == 0:
        return ", but 0 is success"
    return ""


def _word(spot: Spot, value: str, causes: tuple[Cause, ...]) -> RetryOn | None:
    words = [cause.value for cause in causes if cause not in _BOUNDS]
    if value in words:
        return RetryOn(Cause(value))
    if almost := _ALMOST_CLASS.fullmatch(value):
        start = int(almost[1] + "0") if almost[1] else int(almost[2] + "00")
        cure = f'; for {start} to {start + 9} write "{start}-{start + 9}"' if almost[1] else f"; write {almost[2]}xx"
        spot.error(f'unknown failure "{value}"{cure}')
    elif value in (cause.value for cause in _EVERY_CAUSE if cause not in _BOUNDS):
        spot.error(f"expected {_wanted(causes)}; found {value}, by which this doesn't fail")
    else:
        spot.error(f'unknown failure "{shortened(value)}"{did_you_mean(value, words)}')
    return None


def _wanted(causes: tuple[Cause, ...]) -> str:
    """What may be listed, in words."""
    parts = []
    if Cause.STATUS in causes:
        parts.append('statuses from 300 to 599 (503, 5xx, "500-599")')
    if Cause.EXIT in causes:
        parts.append('exit codes from 1 to 255 (75, "64-78")')
    parts += [cause.value for cause in causes if cause not in _BOUNDS]
    return " or ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def on_schema(causes: Sequence[Cause]) -> dict[str, Any]:
    """The JSON Schema of a list for actions that fail by these causes."""
    numbers = [{"type": "integer", "minimum": _BOUNDS[c][0], "maximum": _BOUNDS[c][1]} for c in causes if c in _BOUNDS]
    texts: list[dict[str, Any]] = []
    if numbers:
        classes = "[345]xx|" if Cause.STATUS in causes else ""
        texts = [{"type": "string", "pattern": f"^(?:{classes}{_RANGE.pattern})$"}]
    words = [cause.value for cause in causes if cause not in _BOUNDS and cause is not Cause.FAULT]
    return {"type": "array", "minItems": 1, "items": {"anyOf": [{"enum": words}, *numbers, *texts]}}
