"""Filters that compute or write numbers."""

from decimal import Decimal
from typing import Any

import jinja2

from router.domain.errors import RenderError
from router.templates.budget import MAX_DIGITS, RenderBudget, TooMuchWork
from router.templates.decimal_text import decimal_text
from router.templates.environment import RenderContext
from router.templates.filters.attributes import attribute_getter
from router.templates.filters.jinja_filters import jinja_filter
from router.templates.filters.registry import template_filter
from router.templates.operators import binary, each
from router.templates.text import check_defined

_WITHOUT_PLACES = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_PLACES = "BHD IQD JOD KWD LYD OMR TND"
_PLACES = {**dict.fromkeys(_WITHOUT_PLACES.split(), 0), **dict.fromkeys(_THREE_PLACES.split(), 3)}
"""Places of currencies whose smallest unit is not a hundredth (ISO 4217)."""
MAX_PLACES = 400  #: of `round`, on both sides of the point; a float reaches from 10^-324 to 10^308


@template_filter("number")
def _number(c: RenderContext, value: Any, places: int | None = None, thousands: str = "", point: str = ".") -> str:
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises the error of an undefined value
    return decimal_text(c.budget, value, places, thousands, point)


def check_currency(currency: Any) -> None:
    """Raise RenderError unless it may be a currency."""
    if not (isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise RenderError("money takes a currency of three letters, such as EUR (ISO 4217)")


@template_filter("money")
def _money(c: RenderContext, value: Any, currency: str, thousands: str = "", point: str = ".") -> str:
    c.budget.charge(40)
    check_currency(currency)
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises the error of an undefined value
    code = currency.upper()
    places = _PLACES.get(code, 2)
    text = decimal_text(c.budget, value)
    if "." in text:
        raise RenderError("money takes a whole number of the smallest unit, such as cents; number writes others")
    amount = Decimal(text).scaleb(-places)
    return f"{decimal_text(c.budget, format(amount, 'f'), places, thousands, point)} {code}"


@template_filter("abs")
def _abs(c: RenderContext, value: Any) -> Any:
    return abs(c.budget.check_number(value, "abs"))


@template_filter("round")
def _round(c: RenderContext, value: Any, precision: int = 0, method: Any = "common") -> Any:
    c.budget.check_number(value, "round")
    if not (isinstance(precision, int) and -MAX_PLACES <= precision <= MAX_PLACES):
        raise RenderError(f"round takes places from -{MAX_PLACES} to {MAX_PLACES}")
    check_defined(value)
    if not isinstance(value, int | float):
        raise RenderError("round takes a number; | float makes one of a text")
    if method not in ("common", "ceil", "floor"):
        raise RenderError("round takes the method common, ceil or floor")
    return jinja_filter(c, "round", value, precision, method)


@template_filter("int")
def _int(c: RenderContext, value: Any, default: Any = 0, base: int = 10) -> Any:
    _check_digits(c.budget, value, "int")
    return jinja_filter(c, "int", value, default, base)


@template_filter("float")
def _float(c: RenderContext, value: Any, default: Any = 0.0) -> Any:
    _check_digits(c.budget, value, "float")
    return jinja_filter(c, "float", value, default)


@template_filter("filesizeformat")
def _filesizeformat(c: RenderContext, value: Any, binary: bool = False) -> Any:
    _check_digits(c.budget, value, "filesizeformat")
    return jinja_filter(c, "filesizeformat", value, binary)


def _check_digits(budget: RenderBudget, value: Any, what: str) -> None:
    budget.charge(10)
    budget.check_number(value, what)
    if isinstance(value, str) and len(value) > MAX_DIGITS:
        raise TooMuchWork(f"{what}: a number of more than {MAX_DIGITS} digits is too large")


@template_filter("sum")
def _sum(c: RenderContext, value: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
    total, budget = start, c.budget
    get = attribute_getter(c, attribute) if attribute is not None else None
    if isinstance(total, str):
        raise RenderError("sum takes numbers or lists; join makes one text of several")
    for item in each(budget, value, 2):
        found = get(item) if get else item
        if type(total) is type(found) is int or type(found) is float:
            total += found
            budget.check_number(total, "sum")
        else:
            total = binary(budget, "+", total, found)
    return total
