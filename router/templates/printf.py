"""Formats such as `'%.2f' % x` and `'%.2f' | format(x)`."""

import re
from typing import Any

import jinja2

from router.domain.errors import RenderError, TemplateError
from router.templates.budget import RenderBudget
from router.templates.text import as_text

MAX_WIDTH = 1000  #: of one conversion; a wide column of a report has 200
MAX_PLACES = 100  #: digits after the point; a float has 17 significant ones
_CONVERSION = re.compile(
    r"%(?:\((?P<key>[^()]*)\))?(?P<flags>[-+ #0]*)(?P<width>\d*)(?:\.(?P<places>\d*))?(?P<kind>.?)", re.DOTALL
)
_WHOLE, _FLOATING = "diuxXo", "eEfFgG"
_CURE = "; | int or | float makes a number of a text"


def formats(text: str) -> list[re.Match[str]]:
    """The conversions in a format, without `%%`. Raises RenderError for an unknown or too wide conversion."""
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
    """Check a constant format. `values` is the number of its values; None if unknown. Raises TemplateError."""
    try:
        found = formats(text)
    except RenderError as error:
        raise TemplateError(str(error)) from None
    named = [match for match in found if match["key"] is not None]
    if named and len(named) != len(found):
        raise TemplateError("the format mixes %(name)s with conversions without a name; use one kind")
    if values is not None and not named and len(found) != values:
        raise TemplateError(f"the format takes {len(found)} value{'s' * (len(found) != 1)}, and is given {values}")


def printf(budget: RenderBudget, text: str, values: Any) -> str:
    """The text with its conversions filled in. `%s` writes a value as `{{ … }}` does."""
    budget.charge_text(len(text), "a format", 1)
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
        parts.append(_converted(budget, match, value))
        length += len(parts[-1])
        budget.charge_text(length, "a format", 10**9)
        end = match.end()
    return "".join(parts) + text[end:].replace("%%", "%")


def _named(values: dict[str, Any], key: str | None) -> Any:
    if key is None or values.get(key) is None:
        raise RenderError(f"the format reads %({key})s, which the mapping doesn't have")
    return values[key]


def _converted(budget: RenderBudget, match: re.Match[str], value: Any) -> str:
    kind = match["kind"]
    if kind == "s":
        value = as_text(budget.charge_value(value, "a format"))
    elif isinstance(value, jinja2.Undefined):
        return str(value)  # raises the error of an undefined value
    elif not isinstance(value, int | float):
        raise RenderError(f"%{kind} of a format takes a number{_CURE}")
    budget.check_number(value, "a format")
    directive = f"%{match['flags']}{match['width']}"
    if match["places"] is not None:
        directive += f".{match['places']}"
    return str((directive + kind) % (value,))
