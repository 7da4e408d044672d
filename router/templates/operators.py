"""The operators of templates, each bounded before it does anything."""

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jinja2
from jinja2.runtime import markup_join, str_join

from router.domain.errors import RenderError
from router.templates.printf import printf
from router.templates.work import CHEAP, MAX_BITS, TooMuchWork, Work

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "-": operator.sub,
    "/": operator.truediv,
    "//": operator.floordiv,
}
_SEQUENCES = (str, list, tuple)


def concat(work: Work, values: list[Any]) -> str:
    """`a ~ b`: each as Python writes it."""
    length, marked = 0, False
    for i, value in enumerate(values):
        if isinstance(value, str):
            length += len(value)
            marked = marked or hasattr(value, "__html__")
        else:
            values[i] = work.value(value, "~")
    work.text(length, "~")
    return str(markup_join(values) if marked else str_join(values))


def compare(work: Work, values: list[Any], operators: tuple[str, ...]) -> Any:
    """`a < b < c`, `a in b`: the first that is false, or the last."""
    result: Any = True
    for i, name in enumerate(operators):
        left, right = values[i], values[i + 1]
        if name == "in":
            result = contains(work, left, right)
        elif name == "notin":
            result = not contains(work, left, right)
        else:
            result = compared(work, name, left, right)
        if not result:
            break
    return result


def compared(work: Work, name: str, left: Any, right: Any) -> Any:
    """One comparison; lists and mappings are compared with all that is in them."""
    kind = type(left)
    if kind is str:
        if type(right) is str:
            work.charge(1 + min(len(left), len(right)) // CHEAP)
    elif kind is not int and kind is type(right):
        _charge_nested(work, name, left, right)
    return _COMPARE[name](left, right)


def _charge_nested(work: Work, name: str, left: Any, right: Any) -> None:
    if isinstance(left, range):
        return
    if isinstance(left, dict | list | tuple) and (name not in ("eq", "ne") or len(left) == len(right)):
        work.value(left if len(left) <= len(right) else right, "a comparison")


def contains(work: Work, value: Any, container: Any) -> bool:
    """`value in container`: each item is compared."""
    if isinstance(container, str):
        work.charge(1 + len(container) // 8)
    elif isinstance(container, list | tuple):
        # A comparison goes no deeper than its smaller side does.
        if isinstance(value, dict | list | tuple):
            work.value(container, "in")
        elif isinstance(value, str):
            work.charge((1 + len(value) // CHEAP) * len(container))
        else:
            work.charge(len(container))
    elif isinstance(container, range):
        work.charge(len(container))
    elif isinstance(container, Iterator):
        return any(compared(work, "eq", value, item) for item in each(work, container, 2))
    return value in container


def binary(work: Work, name: str, left: Any, right: Any) -> Any:
    """Arithmetic; texts and lists are joined and repeated."""
    if isinstance(left, jinja2.Undefined) or isinstance(right, jinja2.Undefined):
        return left + right  # raises its own error, whichever side it is
    work.charge(1)
    if name == "+":
        return _add(work, left, right)
    if name == "*":
        return _multiply(work, left, right)
    if name == "%" and isinstance(left, str):
        return printf(work, left, right)
    _check_numbers(work, name, left, right)
    if name == "**":
        return _power(left, right)
    return left % right if name == "%" else _ARITHMETIC[name](left, right)


def _add(work: Work, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        work.text(len(left) + len(right), "+")
    elif isinstance(left, _SEQUENCES) and isinstance(right, _SEQUENCES):
        work.text(len(left) + len(right), "+", 4)
    else:
        work.number(left, "+")
        work.number(right, "+")
    return left + right


def _multiply(work: Work, left: Any, right: Any) -> Any:
    if isinstance(right, _SEQUENCES):
        left, right = right, left
    if isinstance(left, _SEQUENCES) and isinstance(right, int):
        work.text(len(left) * max(0, right), "*", CHEAP if isinstance(left, str) else 4)
        return left * right
    _check_numbers(work, "*", left, right)
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MAX_BITS + abs(right):
        raise TooMuchWork("**: the result is not of moderate size")
    result = left**right
    if isinstance(result, complex):
        raise RenderError("** of a negative number takes a whole number on its right side")
    return result


def _check_numbers(work: Work, name: str, left: Any, right: Any) -> None:
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise RenderError(f"{name} takes numbers; | int or | float makes a number of a text")
    work.number(left, name)
    work.number(right, name)


def cut(work: Work, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """`value[start:stop:step]`."""
    if type(value) is str:
        work.charge(1 + len(value) // 8)
    elif isinstance(value, list | tuple | str):
        work.charge(1 + len(value) // 4)
    elif not isinstance(value, jinja2.Undefined | range):
        raise RenderError("a part such as [:7] can be cut from texts and lists")
    return value[start:stop:step]


def each(work: Work, values: Any, steps: int) -> Any:
    """What a loop goes through; each item takes so many steps."""
    if hasattr(values, "__len__"):
        work.charge(1 + len(values) * steps)
        return values
    return _each_of(work, values, steps)


def _each_of(work: Work, values: Any, steps: int) -> Iterator[Any]:
    for value in values:
        work.charge(steps)
        yield value
