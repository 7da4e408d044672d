"""The operators of templates. Each charges its work before it begins."""

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jinja2
from markupsafe import Markup

from router.domain.errors import RenderError
from router.templates.budget import COPIED_PER_STEP, MAX_BITS, RenderBudget, TooMuchWork
from router.templates.printf import printf

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


def concat(budget: RenderBudget, values: list[Any]) -> str:
    """`a ~ b`: the joined texts of the values."""
    length, marked = 0, False
    for i, value in enumerate(values):
        if isinstance(value, str):
            length += len(value)
            marked = marked or hasattr(value, "__html__")
        else:
            values[i] = budget.charge_value(value, "~")
    budget.charge_text(length, "~")
    return str(Markup("").join(values)) if marked else "".join(map(str, values))


def compare(budget: RenderBudget, values: list[Any], operators: tuple[str, ...]) -> Any:
    """`a < b < c`, `a in b`: the first false result, or the last result."""
    result: Any = True
    for i, name in enumerate(operators):
        left, right = values[i], values[i + 1]
        if name == "in":
            result = contains(budget, left, right)
        elif name == "notin":
            result = not contains(budget, left, right)
        else:
            result = compared(budget, name, left, right)
        if not result:
            break
    return result


def compared(budget: RenderBudget, name: str, left: Any, right: Any) -> Any:
    """One comparison. Lists and mappings are compared deeply."""
    kind = type(left)
    if kind is str:
        if type(right) is str:
            budget.charge(1 + min(len(left), len(right)) // COPIED_PER_STEP)
    elif kind is not int and kind is type(right):
        _charge_nested(budget, name, left, right)
    return _COMPARE[name](left, right)


def _charge_nested(budget: RenderBudget, name: str, left: Any, right: Any) -> None:
    if isinstance(left, range):
        return
    if isinstance(left, dict | list | tuple) and (name not in ("eq", "ne") or len(left) == len(right)):
        budget.charge_value(left if len(left) <= len(right) else right, "a comparison")


def contains(budget: RenderBudget, value: Any, container: Any) -> bool:
    """`value in container`: each item is compared."""
    if isinstance(container, str):
        budget.charge(1 + len(container) // 8)
    elif isinstance(container, list | tuple):
        # A comparison ends with the smaller side.
        if isinstance(value, dict | list | tuple):
            budget.charge_value(container, "in")
        elif isinstance(value, str):
            budget.charge((1 + len(value) // COPIED_PER_STEP) * len(container))
        else:
            budget.charge(len(container))
    elif isinstance(container, range):
        budget.charge(len(container))
    elif isinstance(container, Iterator):
        return any(compared(budget, "eq", value, item) for item in each(budget, container, 2))
    return value in container


def binary(budget: RenderBudget, name: str, left: Any, right: Any) -> Any:
    """Arithmetic on numbers; + and * also join and repeat texts and lists."""
    if isinstance(left, jinja2.Undefined) or isinstance(right, jinja2.Undefined):
        return left + right  # raises the error of an undefined value
    budget.charge(1)
    if name == "+":
        return _add(budget, left, right)
    if name == "*":
        return _multiply(budget, left, right)
    if name == "%" and isinstance(left, str):
        return printf(budget, left, right)
    _check_numbers(budget, name, left, right)
    if name == "**":
        return _power(left, right)
    return left % right if name == "%" else _ARITHMETIC[name](left, right)


def _add(budget: RenderBudget, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        budget.charge_text(len(left) + len(right), "+")
    elif isinstance(left, _SEQUENCES) and isinstance(right, _SEQUENCES):
        budget.charge_text(len(left) + len(right), "+", 4)
    else:
        budget.check_number(left, "+")
        budget.check_number(right, "+")
    return left + right


def _multiply(budget: RenderBudget, left: Any, right: Any) -> Any:
    if isinstance(right, _SEQUENCES):
        left, right = right, left
    if isinstance(left, _SEQUENCES) and isinstance(right, int):
        budget.charge_text(len(left) * max(0, right), "*", COPIED_PER_STEP if isinstance(left, str) else 4)
        return left * right
    _check_numbers(budget, "*", left, right)
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MAX_BITS + abs(right):
        raise TooMuchWork("**: the result is too large")
    result = left**right
    if isinstance(result, complex):
        raise RenderError("** of a negative number takes a whole number on its right side")
    return result


def _check_numbers(budget: RenderBudget, name: str, left: Any, right: Any) -> None:
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise RenderError(f"{name} takes numbers; | int or | float makes a number of a text")
    budget.check_number(left, name)
    budget.check_number(right, name)


def cut(budget: RenderBudget, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """`value[start:stop:step]`."""
    if type(value) is str:
        budget.charge(1 + len(value) // 8)
    elif isinstance(value, list | tuple | str):
        budget.charge(1 + len(value) // 4)
    elif not isinstance(value, jinja2.Undefined | range):
        raise RenderError("a part such as [:7] can be cut from texts and lists")
    return value[start:stop:step]


def each(budget: RenderBudget, values: Any, steps: int) -> Any:
    """The items of a loop. These steps are charged for each."""
    if hasattr(values, "__len__"):
        budget.charge(1 + len(values) * steps)
        return values
    return _each_of(budget, values, steps)


def _each_of(budget: RenderBudget, values: Any, steps: int) -> Iterator[Any]:
    for value in values:
        budget.charge(steps)
        yield value
