"""Values of scalars, by the core schema of YAML 1.2 (YAML 1.2.2, section 10.3).

PyYAML's own resolver follows YAML 1.1, in which `on` is true and `12:30` is 750.
"""

import math
import re
from collections.abc import Callable

from router.rules.yaml.nodes import Scalar
from router.rules.yaml.yaml_problem import ProblemLevel

Report = Callable[[str, ProblemLevel], None]
"""Called with the message and the level of each problem of a scalar."""

TAG_PREFIX = "tag:yaml.org,2002:"
KNOWN_TAGS = frozenset({"str", "int", "float", "bool", "null", "map", "seq"})

_NULL = {"", "null", "Null", "NULL", "~"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# The lengths are those of numbers that a float can hold.
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_OCTAL = re.compile(r"0o[0-7]{1,300}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,250}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "null": type(None)}


def resolve(text: str, report: Report) -> Scalar:
    """The value of a scalar without quotes and without a tag."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "0123456789+-.":
        return text
    if _INT.fullmatch(text):
        return _decimal(text, report)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return _in_range(int(text, 0))
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            report(f"the number {text[:40]} is too large; quote it if it is text", "error")
        return number
    if _NOT_FINITE.fullmatch(text):
        report(f"{text} can't occur in a payload; quote it if it is text", "error")
    return text


def resolve_tagged(text: str, tag: str | None, report: Report) -> Scalar:
    """The value of a scalar with one of KNOWN_TAGS; None is the tag `!`, which makes it text."""
    if tag in (None, "str"):
        return text
    value = resolve(text, report)
    if tag == "float" and type(value) is int:
        return float(value)
    if type(value) is not _TYPES.get(tag or ""):
        report(f'"{shortened(text)}" is not what its tag !!{tag} says', "error")
    return value


def shortened(text: str) -> str:
    """The text as a message shows it."""
    return text if len(text) <= 60 else text[:57] + "..."


def _decimal(text: str, report: Report) -> int | float:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0":
        number = shortened(str(int(text)))
        report(f"{shortened(text)} is read as the number {number}; quote it if it is text", "warning")
    return _in_range(int(text))


def _in_range(number: int) -> int | float:
    """The number as the JSON reader gives it: a float beyond 64 bits."""
    return number if -(2**63) <= number < 2**64 else float(number)
