"""Writes numbers with a fixed number of places, exactly rounded: the filter `number`."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Any

from router.domain.errors import RenderError
from router.templates.budget import RenderBudget
from router.templates.printf import MAX_PLACES


def decimal_text(
    budget: RenderBudget, value: Any, places: int | None = None, thousands: str = "", point: str = "."
) -> str:
    """A number, or a text with a number, written with this many places, rounded half up: `1234.5 | number(2, ',')`
    gives 1,234.50."""
    budget.charge(40)
    if not isinstance(thousands, str) or not isinstance(point, str) or len(thousands) > 8 or len(point) > 8:
        raise RenderError("number: the separators are short texts")
    if places is not None and not (type(places) is int and 0 <= places <= MAX_PLACES):
        raise RenderError(f"number: the places are a number from 0 to {MAX_PLACES}")
    exact = _decimal(budget, value)
    if places is not None:
        with localcontext() as exactly:
            exactly.prec = 5000
            exact = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    written = f"{exact:f}"
    sign, digits = ("-", written[1:]) if written[0] == "-" else ("", written)
    whole, _, rest = digits.partition(".")
    if thousands:
        whole = f"{int(whole):,}".replace(",", thousands) if len(whole) > 3 else whole
    if not whole.strip("0,") and not rest.strip("0"):
        sign = ""  # no -0.00
    return sign + whole + (point + rest if rest else "")


def _decimal(budget: RenderBudget, value: Any) -> Decimal:
    budget.check_number(value, "number")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RenderError("number takes a number, or a text that writes one")
    if isinstance(value, str) and len(value) > 100:
        raise RenderError("number takes a text of at most 100 characters")
    try:
        exact = Decimal(str(value).strip())
    except InvalidOperation:
        raise RenderError("number takes a number, or a text that writes one") from None
    if not exact.is_finite() or abs(exact.adjusted()) > 1000:
        raise RenderError("number takes a number of at most 1,000 digits")
    return exact
