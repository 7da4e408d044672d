"""`'%.2f' % x` and `'%.2f' | format(x)`: texts with numbers in a form of one's own; and `number` for money."""

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Any

import jinja2

from router.domain.errors import RenderError, TemplateError
from router.templates.text import as_text
from router.templates.work import Work

MAX_WIDTH = 1000  #: of one conversion; a wide column of a report has 200
MAX_PLACES = 100  #: digits after the point; a float has 17 that mean something
_CONVERSION = re.compile(
    r"%(?:\((?P<key>[^()]*)\))?(?P<flags>[-+ #0]*)(?P<width>\d*)(?:\.(?P<places>\d*))?(?P<kind>.?)", re.DOTALL
)
_WHOLE, _FLOATING = "diuxXo", "eEfFgG"
_CURE = "; | int or | float makes a number of a text"


def formats(text: str) -> list[re.Match[str]]:
    """The conversions in a format, `%%` excepted. Raises RenderError for one that is not known or too wide."""
    found = []
    for match in _CONVERSION.finditer(text):
        kind = match["kind"]
        if kind == "%" and match.group() == "%%":
            continue
        if not kind or kind not in _WHOLE + _FLOATING + "s":
            raise RenderError(
                f'the format has "{match.group()[:20]}"; known are %s, %d, %x, %o, %e, %f and %g with width and places'
                " such as %5.2f, and %% for a percent sign"
            )
        if len(match["width"]) > 4 or int(match["width"] or 0) > MAX_WIDTH:
            raise RenderError(f"the format has a width of more than {MAX_WIDTH}")
        if len(match["places"] or "") > 3 or (kind != "s" and int(match["places"] or 0) > MAX_PLACES):
            raise RenderError(f"the format has more than {MAX_PLACES} places")
        found.append(match)
    return found


def check_format(text: str, values: int | None) -> None:
    """What is wrong with a constant format; `values` is how many it is given, None when that isn't known.

    Raises TemplateError.
    """
    try:
        found = formats(text)
    except RenderError as error:
        raise TemplateError(str(error)) from None
    named = [match for match in found if match["key"] is not None]
    if named and len(named) != len(found):
        raise TemplateError("the format mixes %(name)s with conversions without a name; use one kind")
    if values is not None and not named and len(found) != values:
        raise TemplateError(f"the format takes {len(found)} value{'s' * (len(found) != 1)}, and is given {values}")


def printf(work: Work, text: str, values: Any) -> str:
    """The text with its conversions filled in; `%s` writes a value as `{{ … }}` does."""
    work.text(len(text), "a format", 1)
    found = formats(text)
    named = any(match["key"] is not None for match in found)
    if named and not isinstance(values, dict):
        raise RenderError("a format with %(name)s takes a mapping on its right side")
    given = values if isinstance(values, tuple) else (values,)
    if not named and len(found) != len(given):
        raise RenderError(f"the format takes {len(found)} values, and is given {len(given)}")
    parts, end, length = [], 0, 0
    for i, match in enumerate(found):
        parts.append(text[end : match.start()].replace("%%", "%"))
        value = _named(values, match["key"]) if named else given[i]
        parts.append(_converted(work, match, value))
        length += len(parts[-1])
        work.text(length, "a format", 10**9)
        end = match.end()
    return "".join(parts) + text[end:].replace("%%", "%")


def _named(values: dict[str, Any], key: str | None) -> Any:
    if key is None or values.get(key) is None:
        raise RenderError(f"the format reads %({key})s, which the mapping doesn't have")
    return values[key]


def _converted(work: Work, match: re.Match[str], value: Any) -> str:
    kind = match["kind"]
    if kind == "s":
        value = as_text(work.value(value, "a format"))
    elif isinstance(value, jinja2.Undefined):
        return str(value)  # raises its own error
    elif not isinstance(value, int | float):
        raise RenderError(f"%{kind} of a format takes a number{_CURE}")
    work.number(value, "a format")
    directive = f"%{match['flags']}{match['width']}"
    if match["places"] is not None:
        directive += f".{match['places']}"
    return str((directive + kind) % (value,))


def number(work: Work, value: Any, places: int | None = None, thousands: str = "", point: str = ".") -> str:
    """A number, or a text that writes one, with so many places, exactly rounded (half up): 1234.5 | number(2, ',')."""
    work.charge(40)
    if not isinstance(thousands, str) or not isinstance(point, str) or len(thousands) > 8 or len(point) > 8:
        raise RenderError("number: the separators are short texts")
    if places is not None and not (type(places) is int and 0 <= places <= MAX_PLACES):
        raise RenderError(f"number: the places are a number from 0 to {MAX_PLACES}")
    exact = _decimal(work, value)
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


def _decimal(work: Work, value: Any) -> Decimal:
    work.number(value, "number")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RenderError("number takes a number, or a text that writes one")
    if isinstance(value, str) and len(value) > 100:
        raise RenderError("number takes a text of at most 100 characters")
    try:
        exact = Decimal(str(value).strip())
    except InvalidOperation:
        raise RenderError("number takes a number, or a text that writes one") from None
    if not exact.is_finite() or abs(exact.adjusted()) > 1000:
        raise RenderError("number takes a number of moderate size")
    return exact
