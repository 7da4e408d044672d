"""How a template's values are written: as text, as JSON, into a URL."""

from collections.abc import Iterator, Set
from typing import Any
from urllib.parse import quote

import jinja2
import orjson

from router.domain.errors import RenderError
from router.templates.work import DEAR, Work


class Mask(str):
    """What stands for a secret where it must not be shown."""

    __slots__ = ()


def as_text(value: Any) -> str:
    """How a value is written into text: true, false and containers as JSON. Null counts as missing."""
    if isinstance(value, str):
        return value
    if value is None:
        raise RenderError("a value is missing (null)")
    if type(value) is int:
        return str(value)  # of any size
    return as_json(value).decode()


def text_of(work: Work, value: Any, what: str, per_step: int = DEAR) -> str:
    """A value as Python writes it, once its length is charged."""
    value = work.value(value, what, per_step)
    return value if isinstance(value, str) else str(value)


def as_json(value: Any) -> bytes:
    """A rendered value as JSON. Raises RenderError for what a template can make but JSON can't hold."""
    try:
        return orjson.dumps(value, default=plain)
    except TypeError as error:
        if isinstance(error.__cause__, RenderError):
            raise error.__cause__ from None
        raise RenderError("a rendered value can't be written as JSON; is a number beyond 64 bits?") from None


def plain(value: Any) -> Any:
    """What filters and `range` make, as the list that it stands for."""
    if isinstance(value, jinja2.Undefined):
        raise RenderError(value._undefined_message)  # noqa: SLF001 - the text that its own error has
    if isinstance(value, Iterator | range | tuple | Set):
        return list(value)
    raise RenderError(f"a rendered value is no JSON value ({type(value).__name__})")


def in_url(value: Any) -> str:
    """How a value is written into a URL: percent-encoded, slashes too."""
    text = as_text(value)
    return text if isinstance(value, Mask) else quote(text, safe="")
