"""Filters that compare the items of a list: sort, group, minimum, maximum and unique."""

import heapq
import math
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

import jinja2

from router.domain.errors import RenderError
from router.templates.budget import RenderBudget
from router.templates.environment import RenderContext
from router.templates.filters.attributes import attribute_getter, attributes_getter, ignoring_case
from router.templates.filters.registry import template_filter
from router.templates.operators import compared, each

_SORTED_AT_ONCE = 1_000  #: items, some 0.3 ms; longer lists are sorted in pieces, and other threads run between them
_SORTED_STEPS = 2_000  #: to read all keys of a piece once


def _sorted(budget: RenderBudget, items: Any, key: Callable[[Any], Any], *, reverse: bool) -> list[Any]:
    """A stable sort in pieces. A single call of `sorted` could not be interrupted."""
    pairs = [(key(item), item) for item in each(budget, items, 4)]
    before = budget.left
    budget.charge_value([pair[0] for pair in pairs], "sort", 8)
    steps = 1 + (before - budget.left) // max(1, len(pairs))  # to read one key
    size = max(1, min(_SORTED_AT_ONCE, _SORTED_STEPS // steps))
    first, pieces = itemgetter(0), []
    for start in range(0, len(pairs), size):
        piece = pairs[start : start + size]
        budget.charge(steps * len(piece) * math.ceil(math.log2(len(piece) + 1)))
        pieces.append(sorted(piece, key=first, reverse=reverse))
    if len(pieces) == 1:
        return [item for _, item in pieces[0]]
    compares = math.ceil(math.log2(len(pieces) + 1))
    merged = heapq.merge(*pieces, key=first, reverse=reverse)
    return [item for _, item in each(budget, merged, 10 + steps * compares)]


@template_filter("sort")
def _sort(
    c: RenderContext,
    value: Any,
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: str | int | None = None,
) -> list[Any]:
    key = attributes_getter(c, attribute, ignoring_case(c, case_sensitive))
    return _sorted(c.budget, value, key, reverse=reverse)


@template_filter("dictsort")
def _dictsort(
    c: RenderContext, value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[tuple[Any, Any]]:
    if by not in ("key", "value"):
        raise RenderError('dictsort sorts by "key" or "value"')
    if not isinstance(value, dict | jinja2.Undefined):
        raise RenderError("dictsort takes a mapping")
    lower, at = ignoring_case(c, case_sensitive), 0 if by == "key" else 1
    return _sorted(c.budget, value.items(), lambda item: lower(item[at]) if lower else item[at], reverse=reverse)


@template_filter("groupby")
def _groupby(
    c: RenderContext, value: Any, attribute: Any, default: Any = None, case_sensitive: bool = False
) -> list[tuple[Any, list[Any]]]:
    key = attribute_getter(c, attribute, ignoring_case(c, case_sensitive), default)
    shown = attribute_getter(c, attribute, None, default)
    groups: list[tuple[Any, list[Any]]] = []
    last: Any = None
    for item in _sorted(c.budget, value, key, reverse=False):
        now = key(item)
        if groups and compared(c.budget, "eq", now, last):
            groups[-1][1].append(item)
        else:
            groups.append((shown(item), [item]))
        last = now
    return groups


@template_filter("unique")
def _unique(c: RenderContext, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Iterator[Any]:
    key = attribute_getter(c, attribute, ignoring_case(c, case_sensitive))
    return _unique_of(c.budget, value, key)


def _unique_of(budget: RenderBudget, value: Any, key: Callable[[Any], Any]) -> Iterator[Any]:
    seen = set()
    for item in each(budget, value, 4):
        found = key(item)
        budget.charge_value(found, "unique", 8)
        if found not in seen:
            seen.add(found)
            yield item


@template_filter("min")
def _min(c: RenderContext, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    return _most(c, value, "lt", case_sensitive, attribute)


@template_filter("max")
def _max(c: RenderContext, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    return _most(c, value, "gt", case_sensitive, attribute)


def _most(c: RenderContext, value: Any, is_more: str, case_sensitive: bool, attribute: Any) -> Any:
    key = attribute_getter(c, attribute, ignoring_case(c, case_sensitive))
    found, best, empty = None, None, True
    for item in each(c.budget, value, 4):
        now = key(item)
        if empty or compared(c.budget, is_more, now, best):
            found, best, empty = item, now, False
    return c.environment.undefined("No aggregated item, sequence was empty.") if empty else found
