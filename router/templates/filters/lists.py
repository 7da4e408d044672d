"""Filters that split and join lists and mappings."""

from typing import Any

import jinja2

from router.domain.errors import RenderError
from router.templates.environment import RenderContext
from router.templates.filters.attributes import attribute_getter, attribute_steps
from router.templates.filters.jinja_filters import jinja_filter
from router.templates.filters.registry import template_filter
from router.templates.operators import each
from router.templates.text import as_text


@template_filter("map")
def _map(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Any:
    attribute = kwargs.get("attribute") if not args else None
    return jinja_filter(c, "map", _charged_items(c, value, attribute), *args, **kwargs)


@template_filter("select")
def _select(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Any:
    return jinja_filter(c, "select", _charged_items(c, value), *args, **kwargs)


@template_filter("reject")
def _reject(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Any:
    return jinja_filter(c, "reject", _charged_items(c, value), *args, **kwargs)


@template_filter("selectattr")
def _selectattr(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Any:
    return jinja_filter(c, "selectattr", _charged_items(c, value, *args[:1]), *args, **kwargs)


@template_filter("rejectattr")
def _rejectattr(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Any:
    return jinja_filter(c, "rejectattr", _charged_items(c, value, *args[:1]), *args, **kwargs)


def _charged_items(c: RenderContext, value: Any, attribute: Any = None) -> Any:
    """The items, each charged. An empty or missing value is returned unchanged, as in Jinja."""
    if isinstance(value, jinja2.Undefined) or not value:
        return value
    steps = 10 + attribute_steps(c, attribute)
    return (c.budget.charge(steps) or item for item in value)  # type: ignore[func-returns-value]


@template_filter("list")
def _list(c: RenderContext, value: Any) -> list[Any]:
    return list(each(c.budget, value, 1))


@template_filter("items")
def _items(c: RenderContext, value: Any) -> Any:
    if isinstance(value, jinja2.Undefined):
        return iter(())
    if not isinstance(value, dict):
        raise RenderError("items takes a mapping")
    return list(each(c.budget, value.items(), 2))


@template_filter("join")
def _join(c: RenderContext, value: Any, separator: Any = "", attribute: Any = None) -> str:
    get = attribute_getter(c, attribute) if attribute is not None else None
    texts, length, budget = [], 0, c.budget
    separator = as_text(budget.charge_value(separator, "join"))
    for item in each(budget, value, 3):
        found = get(item) if get else item
        if not isinstance(found, str):
            found = as_text(budget.charge_value(found, "join"))
        length += len(found) + len(separator)
        if length > budget.longest_text:
            break
        texts.append(found)
    budget.charge_text(length, "the result of join")
    return str(separator.join(texts))


@template_filter("first")
def _first(c: RenderContext, value: Any) -> Any:
    return next(iter(value), c.environment.undefined("No first item, sequence was empty."))


@template_filter("last")
def _last(c: RenderContext, value: Any) -> Any:
    return next(iter(reversed(value)), c.environment.undefined("No last item, sequence was empty."))


@template_filter("length", "count")
def _length(c: RenderContext, value: Any) -> int:
    c.budget.charge(1)
    return len(value)


@template_filter("reverse")
def _reverse(c: RenderContext, value: Any) -> Any:
    if isinstance(value, str):
        c.budget.charge_text(len(value), "reverse")
        return value[::-1]
    if hasattr(value, "__reversed__") or isinstance(value, list | tuple):
        return reversed(value)
    return list(each(c.budget, value, 2))[::-1]


@template_filter("default", "d")
def _default(c: RenderContext, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    c.budget.charge(1)
    return default_value if isinstance(value, jinja2.Undefined) or (boolean and not value) else value


@template_filter("batch")
def _batch(c: RenderContext, value: Any, linecount: int, fill_with: Any = None) -> Any:
    if not (isinstance(linecount, int) and linecount > 0):
        raise RenderError("batch takes a number of items above 0")
    items = list(each(c.budget, value, 10))
    if fill_with is not None:
        c.budget.charge_text(linecount, "batch", 2)
    return jinja_filter(c, "batch", items, linecount, fill_with)


@template_filter("slice")
def _slice(c: RenderContext, value: Any, slices: int, fill_with: Any = None) -> Any:
    if not (isinstance(slices, int) and slices > 0):
        raise RenderError("slice takes a number of columns above 0")
    items = list(each(c.budget, value, 4))
    c.budget.charge_text(slices, "slice", 1)
    c.budget.charge(slices * 3)
    return jinja_filter(c, "slice", items, slices, fill_with)
