"""`age`: how old a time in the payload was when the event was received."""

import operator
import re
from collections.abc import Callable
from typing import Any

from router.domain.iso_time import time_ms
from router.rules.match.operators.operand import Flags, OperandError
from router.rules.match.values import decimal
from router.rules.yaml.nodes import MappingNode, Node, ScalarNode, describe

_AGE = re.compile(r"(-?)(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}

AgeTest = Callable[[Any, int], bool]
"""Judges a value. It is made for an event's time of receipt, in ms."""


def age(node: Node, flags: Flags) -> AgeTest:
    """The operand is a map of comparisons with ages such as 5m. Raises OperandError."""
    if not isinstance(node, MappingNode) or not node.entries:
        cure = f"; write {{gt: {node.text}}}" if isinstance(node, ScalarNode) and _AGE.fullmatch(node.text) else ""
        raise OperandError(f"expected a map of gt, gte, lt or lte, found {describe(node)}{cure}", node)
    bounds: list[tuple[Callable[[float, float], bool], float]] = []
    for name, (key, below) in node.entries.items():
        if name not in _COMPARE:
            raise OperandError(f'"{name}" doesn\'t compare ages; use gt, gte, lt or lte', key)
        if not isinstance(below, ScalarNode) or not _AGE.fullmatch(below.text):
            raise OperandError(f"expected an age such as 30s, 5m or 2h, found {describe(below)}", below)
        bounds.append((_COMPARE[name], age_seconds(below.text)))

    def test(value: Any, received_at: int) -> bool:
        then = unix_ms(value, decimals=flags.decimals)
        if then is None:
            return False
        seconds = (received_at - then) / 1000
        return all(compare(seconds, bound) for compare, bound in bounds)

    return test


def age_seconds(text: str) -> float:
    """An age such as `5m`; `-5m` is in the future."""
    found = _AGE.fullmatch(text)
    assert found is not None
    return float(found[1] + found[2]) * _SECONDS[found[3]]


def unix_ms(value: Any, *, decimals: bool = False) -> float | None:
    """The time in a value, as Unix time in ms; None if it is not a time, or lacks its zone.

    A time is a text of ISO 8601 with a zone, also as GitLab writes it (`2024-05-01 10:00:00 UTC`), or a Unix time in
    seconds or milliseconds. With `decimals` the Unix time may be a text.
    """
    number = decimal(value) if decimals and isinstance(value, str) else None
    return time_ms(value if number is None else number)
