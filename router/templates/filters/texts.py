"""Filters that change texts."""

from collections.abc import Iterator
from typing import Any

from markupsafe import escape

from router.domain.errors import RenderError
from router.templates import printf
from router.templates.budget import COPIED_PER_STEP, RenderBudget
from router.templates.environment import RenderContext
from router.templates.filters.jinja_filters import jinja_filter
from router.templates.filters.registry import template_filter
from router.templates.operators import each
from router.templates.text import as_json, as_text, text_of


@template_filter("upper")
def _upper(c: RenderContext, value: Any) -> str:
    return text_of(c.budget, value, "upper").upper()


@template_filter("lower")
def _lower(c: RenderContext, value: Any) -> str:
    return text_of(c.budget, value, "lower").lower()


@template_filter("capitalize")
def _capitalize(c: RenderContext, value: Any) -> str:
    return text_of(c.budget, value, "capitalize").capitalize()


@template_filter("title")
def _title(c: RenderContext, value: Any) -> Any:
    return str(jinja_filter(c, "title", text_of(c.budget, value, "title", 1)))


@template_filter("trim")
def _trim(c: RenderContext, value: Any, chars: str | None = None) -> str:
    text = text_of(c.budget, value, "trim")
    if chars is not None:
        # Each character of the text may be compared with all of `chars`.
        c.budget.charge(len(text) * len(chars) // COPIED_PER_STEP)
    return text.strip(chars)


@template_filter("string")
def _string(c: RenderContext, value: Any) -> str:
    return c.written(value, "string")


@template_filter("tojson")
def _tojson(c: RenderContext, value: Any) -> str:
    if isinstance(value, str):
        c.budget.charge_text(len(value), "tojson", 8)
    return as_json(value).decode() if value is None or isinstance(value, str) else c.written(value, "tojson")


@template_filter("replace")
def _replace(c: RenderContext, value: Any, old: Any, new: Any, count: int = -1) -> str:
    text, old, new = (as_text(c.budget.charge_value(one, "replace", 8)) for one in (value, old, new))
    found = text.count(old) if count < 0 else min(count, text.count(old))
    c.budget.charge_text(len(text) + found * max(0, len(new) - len(old)), "the result of replace")
    return text.replace(old, new, count)


@template_filter("truncate")
def _truncate(
    c: RenderContext,
    value: Any,
    length: int = 255,
    killwords: bool = False,
    end: str = "...",
    leeway: int | None = None,
) -> Any:
    c.budget.charge_text(len(value) + len(end), "truncate")
    return jinja_filter(c, "truncate", value, length, killwords, end, leeway)


@template_filter("center")
def _center(c: RenderContext, value: Any, width: int = 80) -> str:
    text = text_of(c.budget, value, "center", COPIED_PER_STEP)
    c.budget.charge_text(max(len(text), width), "center")
    return text.center(width)


@template_filter("indent")
def _indent(c: RenderContext, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> Any:
    text = text_of(c.budget, value, "indent", 4)
    wide = len(width) if isinstance(width, str) else width
    lines = len(text.splitlines()) + 1  # lines end at \r, U+2028 and others too, as in Jinja
    c.budget.charge_text(len(text) + lines * max(0, wide), "indent")
    return jinja_filter(c, "indent", text, width, first, blank)


@template_filter("wordwrap")
def _wordwrap(
    c: RenderContext,
    value: Any,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> Any:
    text = text_of(c.budget, value, "wordwrap", 1)
    if width < 1:
        raise RenderError("wordwrap takes a width of 1 or more")
    end = "\n" if wrapstring is None else wrapstring
    # Each character may begin a line.
    c.budget.charge_text(len(text) * (1 + len(end)), "wordwrap", 10**9)
    lines = []
    for line in text.splitlines():
        words = line.split()
        # A long word is cut many times, and each cut copies the rest.
        cuts = sum(len(word) // width * (10 + len(word) // COPIED_PER_STEP) for word in words)
        c.budget.charge(80 + 20 * len(words) + cuts)
        lines.append(jinja_filter(c, "wordwrap", line, width, break_long_words, end, break_on_hyphens))
    return end.join(lines)


@template_filter("wordcount")
def _wordcount(c: RenderContext, value: Any) -> Any:
    return jinja_filter(c, "wordcount", text_of(c.budget, value, "wordcount"))


@template_filter("escape", "e")
def _escape(c: RenderContext, value: Any) -> str:
    text = text_of(c.budget, value, "escape", 8)
    c.budget.charge_text(len(text) + 4 * sum(text.count(one) for one in "&<>'\""), "escape")
    return str(escape(text))


@template_filter("urlencode")
def _urlencode(c: RenderContext, value: Any) -> Any:
    if isinstance(value, str):
        c.budget.charge_text(3 * len(value), "urlencode", 1)
        return jinja_filter(c, "urlencode", value)
    if not hasattr(value, "__iter__"):
        c.budget.charge_value(value, "urlencode")
        return jinja_filter(c, "urlencode", value)
    pairs = value.items() if isinstance(value, dict) else value
    return jinja_filter(c, "urlencode", list(_paid_pairs(c.budget, pairs)))


def _paid_pairs(budget: RenderBudget, pairs: Any) -> Iterator[tuple[str, str]]:
    length = 0
    for name, value in each(budget, pairs, 20):
        pair = text_of(budget, name, "urlencode", 1), text_of(budget, value, "urlencode", 1)
        length += 3 * len(pair[0]) + 3 * len(pair[1])
        budget.charge_text(length, "urlencode", 10**9)
        yield pair


@template_filter("format")
def _format(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> str:
    if not isinstance(value, str):
        raise RenderError("format takes a text such as '%.2f' before it")
    if args and kwargs:
        raise RenderError("format takes either values or names with values")
    return printf.printf(c.budget, value, kwargs or args)
