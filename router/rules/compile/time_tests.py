"""Checks the operands of `time` and `weekday`."""

import re

from router.domain.nearest_word import did_you_mean
from router.rules.match.time_fields import WEEKDAYS
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, ScalarNode, SequenceNode

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_LOOSE = re.compile(r"([0-9]{1,2}):([0-9]{2})(:[0-9]{2})?")
_OPERATORS = {"time": ("equals", "in", "gt", "gte", "lt", "lte", "not"), "weekday": ("equals", "in", "not")}


def check_time_test(node_path: NodePath, field: str) -> None:
    """Report operands that are not a time of day or a weekday, and operators that don't apply to them."""
    if isinstance(node_path.node, MappingNode):
        for name, below in node_path.entries():
            if name in _OPERATORS[field]:
                check_time_test(below, field)
            elif name not in ("exists", "ignore_case"):
                node_path.key_error(
                    name,
                    f'{field} does not take "{name}"; use {", ".join(_OPERATORS[field])}',
                )
        _check_order(node_path, field)
    elif isinstance(node_path.node, SequenceNode):
        for item in node_path.items():
            check_time_test(item, field)
    elif isinstance(node_path.node, ScalarNode) and isinstance(node_path.node.value, str) and node_path.node.value:
        fault = _of_time(node_path.node.value) if field == "time" else _of_weekday(node_path.node.value)
        if fault:
            node_path.error(fault)


def _of_time(text: str) -> str:
    if _TIME.fullmatch(text):
        return ""
    found = _LOOSE.fullmatch(text)
    cure = f'; write "{int(found[1]):02}:{found[2]}"' if found and int(found[1]) < 24 and int(found[2]) < 60 else ""
    return f'expected a time of day, "00:00" to "23:59", found "{text[:20]}"{cure}'


def _of_weekday(text: str) -> str:
    if text in WEEKDAYS:
        return ""
    short = text.lower()[:3]
    cure = f"; write {short}" if short in WEEKDAYS else did_you_mean(text, WEEKDAYS)
    return f'unknown weekday "{text[:20]}"{cure}'


def _check_order(node_path: NodePath, field: str) -> None:
    """Report bounds across midnight: they need two alternatives."""
    bounds = {name: below.data for name, below in node_path.entries() if name in ("gt", "gte", "lt", "lte")}
    least = bounds.get("gt") or bounds.get("gte")
    most = bounds.get("lt") or bounds.get("lte")
    if field == "time" and isinstance(least, str) and isinstance(most, str) and least > most:
        low, high = ("gt" if "gt" in bounds else "gte"), ("lt" if "lt" in bounds else "lte")
        node_path.error(
            f"no time is both after {least} and before {most}; for a span over midnight write either: "
            f'[{{{low}: "{least}"}}, {{{high}: "{most}"}}]'
        )
