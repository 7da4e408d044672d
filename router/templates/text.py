"""Writes the values of templates: as text, as JSON, and into URLs."""

from collections.abc import Iterator, Set
from typing import Any
from urllib.parse import quote

import jinja2
import orjson

from router.domain.errors import RenderError
from router.templates.budget import CHANGED_PER_STEP, RenderBudget


class Mask(str):
    """The placeholder of a secret in previews, such as `<secret:token>`."""

    __slots__ = ()


def as_text(value: Any) -> str:
    """The text of a value; booleans, lists and mappings are written as JSON. Raises RenderError for null."""
    if isinstance(value, str):
        return value
    if value is None:
        raise RenderError("a value is missing (null)")
    if type(value) is int:
        return str(value)  # an integer of any size
    return as_json(value).decode()


def text_of(budget: RenderBudget, value: Any, what: str, per_step: int = CHANGED_PER_STEP) -> str:
    """Charge the value, then return its text as Python writes it."""
    value = budget.charge_value(value, what, per_step)
    return value if isinstance(value, str) else str(value)


def as_json(value: Any) -> bytes:
    """A rendered value as JSON. Raises RenderError for values that JSON can't hold."""
    try:
        return orjson.dumps(value, default=materialized)
    except TypeError as error:
        if isinstance(error.__cause__, RenderError):
            raise error.__cause__ from None
        raise RenderError("a rendered value can't be written as JSON; is a number beyond 64 bits?") from None


def materialized(value: Any) -> Any:
    """An iterator of a filter, or a `range`, as a list. Raises RenderError for an undefined value or another type."""
    check_defined(value)
    if isinstance(value, Iterator | range | tuple | Set):
        return list(value)
    raise RenderError(f"a rendered value is no JSON value ({type(value).__name__})")


def check_defined(value: Any) -> None:
    """Raise RenderError for an undefined value, with Jinja's own message."""
    if isinstance(value, jinja2.Undefined):
        try:
            str(value)  # the sandbox's undefined values raise here
        except jinja2.UndefinedError as error:
            raise RenderError(str(error.message)) from None


def in_url(value: Any) -> str:
    """The value percent-encoded for a URL, slashes included."""
    text = as_text(value)
    return text if isinstance(value, Mask) else quote(text, safe="")
