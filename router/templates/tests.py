"""The tests of templates (`is defined`, `is in`), from Jinja. Each charges its work before it begins."""

from collections.abc import Callable
from typing import Any

import jinja2

from router.domain.errors import RenderError
from router.templates.environment import RenderContext
from router.templates.filters import FILTERS
from router.templates.operators import compared, contains
from router.templates.text import text_of

Test = Callable[..., bool]
_COMPARED = {
    "eq": ("eq", "==", "equalto"),
    "ne": ("ne", "!="),
    "gt": ("gt", ">", "greaterthan"),
    "gteq": ("ge", ">="),
    "lt": ("lt", "<", "lessthan"),
    "lteq": ("le", "<="),
}
_BY_TYPE = (
    "defined",
    "undefined",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "sameas",
    "escaped",
)  #: Jinja's tests that look only at a value's type
_JINJA: dict[str, Any] = jinja2.Environment(autoescape=False).tests  # noqa: S701 - its tests are called, and it renders nothing


def _by(operator: str) -> Test:
    @jinja2.pass_context
    def compares(c: RenderContext, value: Any, other: Any) -> bool:
        return bool(compared(c.budget, operator, value, other))

    return compares


@jinja2.pass_context
def _in(c: RenderContext, value: Any, seq: Any) -> bool:
    return contains(c.budget, value, seq)


@jinja2.pass_context
def _lower(c: RenderContext, value: Any) -> bool:
    return text_of(c.budget, value, "is lower").islower()


@jinja2.pass_context
def _upper(c: RenderContext, value: Any) -> bool:
    return text_of(c.budget, value, "is upper").isupper()


def _remainder(name: str, value: Any, number: Any, budget: Any) -> Any:
    # With a text on its left, % would format it.
    if isinstance(value, jinja2.Undefined):
        return value % number
    if not isinstance(value, int | float) or not isinstance(number, int | float):
        raise RenderError(f"is {name} takes numbers; | int makes a number of a text")
    budget.check_number(number, name)
    return budget.check_number(value, name) % number


@jinja2.pass_context
def _odd(c: RenderContext, value: Any) -> bool:
    return bool(_remainder("odd", value, 2, c.budget) == 1)


@jinja2.pass_context
def _even(c: RenderContext, value: Any) -> bool:
    return bool(_remainder("even", value, 2, c.budget) == 0)


@jinja2.pass_context
def _divisibleby(c: RenderContext, value: Any, num: Any) -> bool:
    return bool(_remainder("divisibleby", value, num, c.budget) == 0)


def _is_filter(value: Any) -> bool:
    return isinstance(value, str) and value in FILTERS


def _is_test(value: Any) -> bool:
    return isinstance(value, str) and value in TESTS


TESTS: dict[str, Test] = {
    "in": _in,
    "lower": _lower,
    "upper": _upper,
    "odd": _odd,
    "even": _even,
    "divisibleby": _divisibleby,
    "filter": _is_filter,
    "test": _is_test,
    **{name: _by(operator) for operator, names in _COMPARED.items() for name in names},
    **{name: _JINJA[name] for name in _BY_TYPE},
    "callable": callable,
}
