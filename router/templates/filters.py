"""The filters of templates: Jinja's, each bounded before it does anything, and a few of our own.

What is not here can't be used, whatever Jinja has: a filter without a bound could hold the whole daemon.
"""

import heapq
import math
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

import jinja2
from jinja2 import filters as jinja
from markupsafe import escape

from router.domain.errors import RenderError
from router.templates import printf
from router.templates.environment import RenderContext
from router.templates.operators import binary, compared, each
from router.templates.text import as_json, as_text
from router.templates.work import CHEAP, DEAR, MAX_DIGITS, TooMuchWork, Work

Filter = Callable[..., Any]
MAX_PLACES = 400  #: of `round`, on both sides of the point; a float reaches from 10^-324 to 10^308
_SORTED_AT_ONCE = 1_000  #: items, some 0.3 ms; longer lists are sorted in pieces that leave room for other threads
_SORTED_STEPS = 2_000  #: to look at all keys of a piece once

FILTERS: dict[str, Filter] = {}


def _filter(*names: str) -> Callable[[Filter], Filter]:
    def listed(function: Filter) -> Filter:
        for name in names:
            FILTERS[name] = jinja2.pass_context(function)
        return function

    return listed


def text_of(work: Work, value: Any, what: str, per_step: int = DEAR) -> str:
    """A value as Python writes it, once going through it is paid for."""
    value = work.value(value, what, per_step)
    return value if isinstance(value, str) else str(value)


def _items_of(work: Work, value: Any, steps: int = 2) -> list[Any]:
    return list(each(work, value, steps))


# Texts


@_filter("upper")
def _upper(c: RenderContext, value: Any) -> str:
    return text_of(c.work, value, "upper").upper()


@_filter("lower")
def _lower(c: RenderContext, value: Any) -> str:
    return text_of(c.work, value, "lower").lower()


@_filter("capitalize")
def _capitalize(c: RenderContext, value: Any) -> str:
    return text_of(c.work, value, "capitalize").capitalize()


@_filter("title")
def _title(c: RenderContext, value: Any) -> str:
    return str(jinja.do_title(text_of(c.work, value, "title", 1)))


@_filter("trim")
def _trim(c: RenderContext, value: Any, chars: str | None = None) -> str:
    text = text_of(c.work, value, "trim")
    if chars is not None:
        # Each character of the text may be looked for in all of these.
        c.work.charge(len(text) * len(chars) // CHEAP)
    return text.strip(chars)


@_filter("string")
def _string(c: RenderContext, value: Any) -> str:
    return c.written(value, "string")


@_filter("tojson")
def _tojson(c: RenderContext, value: Any) -> str:
    if isinstance(value, str):
        c.work.text(len(value), "tojson", 8)
    return as_json(value).decode() if value is None or isinstance(value, str) else c.written(value, "tojson")


@_filter("replace")
def _replace(c: RenderContext, value: Any, old: Any, new: Any, count: int = -1) -> str:
    text, old, new = (as_text(c.work.value(one, "replace", 8)) for one in (value, old, new))
    found = text.count(old) if count < 0 else min(count, text.count(old))
    c.work.text(len(text) + found * max(0, len(new) - len(old)), "the result of replace")
    return text.replace(old, new, count)


@_filter("truncate")
def _truncate(
    c: RenderContext,
    value: Any,
    length: int = 255,
    killwords: bool = False,
    end: str = "...",
    leeway: int | None = None,
) -> str:
    c.work.text(len(value) + len(end), "truncate")
    return jinja.do_truncate(c.environment, value, length, killwords, end, leeway)


@_filter("center")
def _center(c: RenderContext, value: Any, width: int = 80) -> str:
    text = text_of(c.work, value, "center", CHEAP)
    c.work.text(max(len(text), width), "center")
    return text.center(width)


@_filter("indent")
def _indent(c: RenderContext, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = text_of(c.work, value, "indent", 4)
    wide = len(width) if isinstance(width, str) else width
    lines = len(text.splitlines()) + 1  # as Jinja does it: a line ends at \r, U+2028 and others too
    c.work.text(len(text) + lines * max(0, wide), "indent")
    return jinja.do_indent(text, width, first, blank)


@_filter("wordwrap")
def _wordwrap(
    c: RenderContext,
    value: Any,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> str:
    text = text_of(c.work, value, "wordwrap", 1)
    if width < 1:
        raise RenderError("wordwrap takes a width of 1 or more")
    end = "\n" if wrapstring is None else wrapstring
    # Each character may begin a line.
    c.work.text(len(text) * (1 + len(end)), "wordwrap", 10**9)
    lines = []
    for line in text.splitlines():
        words = line.split()
        # A long word is cut again and again, and what is left of it copied each time.
        cuts = sum(len(word) // width * (10 + len(word) // CHEAP) for word in words)
        c.work.charge(80 + 20 * len(words) + cuts)
        lines.append(jinja.do_wordwrap(c.environment, line, width, break_long_words, end, break_on_hyphens))
    return end.join(lines)


@_filter("wordcount")
def _wordcount(c: RenderContext, value: Any) -> int:
    return jinja.do_wordcount(text_of(c.work, value, "wordcount"))


@_filter("escape", "e")
def _escape(c: RenderContext, value: Any) -> str:
    text = text_of(c.work, value, "escape", 8)
    c.work.text(len(text) + 4 * sum(text.count(one) for one in "&<>'\""), "escape")
    return str(escape(text))


@_filter("urlencode")
def _urlencode(c: RenderContext, value: Any) -> str:
    if isinstance(value, str):
        c.work.text(3 * len(value), "urlencode", 1)
        return jinja.do_urlencode(value)
    if not hasattr(value, "__iter__"):
        c.work.value(value, "urlencode")
        return jinja.do_urlencode(value)
    pairs = value.items() if isinstance(value, dict) else value
    return jinja.do_urlencode(list(_paid_pairs(c.work, pairs)))


def _paid_pairs(work: Work, pairs: Any) -> Iterator[tuple[str, str]]:
    length = 0
    for name, value in each(work, pairs, 20):
        pair = text_of(work, name, "urlencode", 1), text_of(work, value, "urlencode", 1)
        length += 3 * len(pair[0]) + 3 * len(pair[1])
        work.text(length, "urlencode", 10**9)
        yield pair


@_filter("format")
def _format(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> str:
    if not isinstance(value, str):
        raise RenderError("format takes a text such as '%.2f' before it")
    if args and kwargs:
        raise RenderError("format takes either values or names with values")
    return printf.printf(c.work, value, kwargs or args)


# Numbers


@_filter("number")
def _number(c: RenderContext, value: Any, places: int | None = None, thousands: str = "", point: str = ".") -> str:
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises its own error
    return printf.number(c.work, value, places, thousands, point)


@_filter("abs")
def _abs(c: RenderContext, value: Any) -> Any:
    return abs(c.work.number(value, "abs"))


@_filter("round")
def _round(c: RenderContext, value: Any, precision: int = 0, method: Any = "common") -> float:
    c.work.number(value, "round")
    if not (isinstance(precision, int) and -MAX_PLACES <= precision <= MAX_PLACES):
        raise RenderError(f"round takes places from -{MAX_PLACES} to {MAX_PLACES}")
    if isinstance(value, jinja2.Undefined):
        raise RenderError(value._undefined_message)  # noqa: SLF001 - the text that its own error has
    if not isinstance(value, int | float):
        raise RenderError("round takes a number; | float makes one of a text")
    if method not in ("common", "ceil", "floor"):
        raise RenderError("round takes the method common, ceil or floor")
    return jinja.do_round(value, precision, method)


@_filter("int")
def _int(c: RenderContext, value: Any, default: Any = 0, base: int = 10) -> int:
    _check_digits(c.work, value, "int")
    return jinja.do_int(value, default, base)


@_filter("float")
def _float(c: RenderContext, value: Any, default: Any = 0.0) -> float:
    _check_digits(c.work, value, "float")
    return jinja.do_float(value, default)


@_filter("filesizeformat")
def _filesizeformat(c: RenderContext, value: Any, binary: bool = False) -> str:
    _check_digits(c.work, value, "filesizeformat")
    return jinja.do_filesizeformat(value, binary)


def _check_digits(work: Work, value: Any, what: str) -> None:
    work.charge(10)
    work.number(value, what)
    if isinstance(value, str) and len(value) > MAX_DIGITS:
        raise TooMuchWork(f"{what}: a number of more than {MAX_DIGITS} digits is too large")


@_filter("sum")
def _sum(c: RenderContext, value: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
    total, work = start, c.work
    get = _attribute(c, attribute) if attribute is not None else None
    if isinstance(total, str):
        raise RenderError("sum takes numbers or lists; join makes one text of several")
    for item in each(work, value, 2):
        found = get(item) if get else item
        if type(total) is type(found) is int or type(found) is float:
            total += found
            work.number(total, "sum")
        else:
            total = binary(work, "+", total, found)
    return total


# Lists and mappings


def _attribute(
    c: RenderContext, attribute: Any, change: Callable[[Any], Any] | None = None, default: Any = None
) -> Callable[[Any], Any]:
    steps = _attribute_steps(c, attribute)
    get = jinja.make_attrgetter(c.environment, attribute, change, default)
    return _paid(c.work, steps, get)


def _attribute_steps(c: RenderContext, attribute: Any) -> int:
    if not isinstance(attribute, str):
        return 5
    c.work.charge(10 + len(attribute) // 2)
    # Python writes no number of more digits, and needs long to read one.
    if any(len(part) > MAX_DIGITS for part in attribute.replace(",", ".").split(".") if part.isdigit()):
        raise TooMuchWork(f"attribute: a number of more than {MAX_DIGITS} digits is too large")
    return 5 * (1 + attribute.count(".") + attribute.count(","))


def _paid(work: Work, steps: int, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def paid(item: Any) -> Any:
        work.charge(steps)
        return function(item)

    return paid


def _case(c: RenderContext, case_sensitive: bool) -> Callable[[Any], Any] | None:
    """What makes texts alike that differ in case."""
    if case_sensitive:
        return None

    def lower(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        c.work.text(len(value), "lower case", DEAR)
        return value.lower()

    return lower


def _sorted(work: Work, items: Any, key: Callable[[Any], Any], *, reverse: bool) -> list[Any]:
    """A stable sort, in pieces: one call of the interpreter's can't be interrupted."""
    pairs = [(key(item), item) for item in each(work, items, 4)]
    before = work.left
    work.value([pair[0] for pair in pairs], "sort", 8)
    steps = 1 + (before - work.left) // max(1, len(pairs))  # to look at a key once
    size = max(1, min(_SORTED_AT_ONCE, _SORTED_STEPS // steps))
    first, pieces = itemgetter(0), []
    for start in range(0, len(pairs), size):
        piece = pairs[start : start + size]
        work.charge(steps * len(piece) * math.ceil(math.log2(len(piece) + 1)))
        pieces.append(sorted(piece, key=first, reverse=reverse))
    if len(pieces) == 1:
        return [item for _, item in pieces[0]]
    compares = math.ceil(math.log2(len(pieces) + 1))
    merged = heapq.merge(*pieces, key=first, reverse=reverse)
    return [item for _, item in each(work, merged, 10 + steps * compares)]


@_filter("sort")
def _sort(
    c: RenderContext,
    value: Any,
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: str | int | None = None,
) -> list[Any]:
    steps = _attribute_steps(c, attribute)
    key = jinja.make_multi_attrgetter(c.environment, attribute, _case(c, case_sensitive))
    return _sorted(c.work, value, _paid(c.work, steps, key), reverse=reverse)


@_filter("dictsort")
def _dictsort(
    c: RenderContext, value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[tuple[Any, Any]]:
    if by not in ("key", "value"):
        raise RenderError('dictsort sorts by "key" or "value"')
    if not isinstance(value, dict | jinja2.Undefined):
        raise RenderError("dictsort takes a mapping")
    lower, at = _case(c, case_sensitive), 0 if by == "key" else 1
    return _sorted(c.work, value.items(), lambda item: lower(item[at]) if lower else item[at], reverse=reverse)


@_filter("groupby")
def _groupby(
    c: RenderContext, value: Any, attribute: Any, default: Any = None, case_sensitive: bool = False
) -> list[tuple[Any, list[Any]]]:
    key = _attribute(c, attribute, _case(c, case_sensitive), default)
    shown = _attribute(c, attribute, None, default)
    groups: list[tuple[Any, list[Any]]] = []
    last: Any = None
    for item in _sorted(c.work, value, key, reverse=False):
        now = key(item)
        if groups and compared(c.work, "eq", now, last):
            groups[-1][1].append(item)
        else:
            groups.append((shown(item), [item]))
        last = now
    return groups


@_filter("unique")
def _unique(c: RenderContext, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Iterator[Any]:
    key = _attribute(c, attribute, _case(c, case_sensitive))
    return _unique_of(c.work, value, key)


def _unique_of(work: Work, value: Any, key: Callable[[Any], Any]) -> Iterator[Any]:
    seen = set()
    for item in each(work, value, 4):
        found = key(item)
        work.value(found, "unique", 8)
        if found not in seen:
            seen.add(found)
            yield item


@_filter("min")
def _min(c: RenderContext, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    return _most(c, value, "lt", case_sensitive, attribute)


@_filter("max")
def _max(c: RenderContext, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    return _most(c, value, "gt", case_sensitive, attribute)


def _most(c: RenderContext, value: Any, is_more: str, case_sensitive: bool, attribute: Any) -> Any:
    key = _attribute(c, attribute, _case(c, case_sensitive))
    found, best, empty = None, None, True
    for item in each(c.work, value, 4):
        now = key(item)
        if empty or compared(c.work, is_more, now, best):
            found, best, empty = item, now, False
    return c.environment.undefined("No aggregated item, sequence was empty.") if empty else found


@_filter("map")
def _map(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Any:
    attribute = kwargs.get("attribute") if not args else None
    return jinja.sync_do_map(c, _each(c, value, attribute), *args, **kwargs)


@_filter("select")
def _select(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    return jinja.sync_do_select(c, _each(c, value), *args, **kwargs)


@_filter("reject")
def _reject(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    return jinja.sync_do_reject(c, _each(c, value), *args, **kwargs)


@_filter("selectattr")
def _selectattr(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    return jinja.sync_do_selectattr(c, _each(c, value, *args[:1]), *args, **kwargs)


@_filter("rejectattr")
def _rejectattr(c: RenderContext, value: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    return jinja.sync_do_rejectattr(c, _each(c, value, *args[:1]), *args, **kwargs)


def _each(c: RenderContext, value: Any, attribute: Any = None) -> Any:
    """What a filter goes through item by item; nothing for what is empty or missing, as Jinja has it."""
    if isinstance(value, jinja2.Undefined) or not value:
        return value
    steps = 10 + _attribute_steps(c, attribute)
    return (c.work.charge(steps) or item for item in value)  # type: ignore[func-returns-value]


@_filter("list")
def _list(c: RenderContext, value: Any) -> list[Any]:
    return _items_of(c.work, value, 1)


@_filter("items")
def _items(c: RenderContext, value: Any) -> Any:
    if isinstance(value, jinja2.Undefined):
        return iter(())
    if not isinstance(value, dict):
        raise RenderError("items takes a mapping")
    return list(each(c.work, value.items(), 2))


@_filter("join")
def _join(c: RenderContext, value: Any, separator: Any = "", attribute: Any = None) -> str:
    get = _attribute(c, attribute) if attribute is not None else None
    texts, length, work = [], 0, c.work
    separator = as_text(work.value(separator, "join"))
    for item in each(work, value, 3):
        found = get(item) if get else item
        if not isinstance(found, str):
            found = as_text(work.value(found, "join"))
        length += len(found) + len(separator)
        if length > work.longest:
            break
        texts.append(found)
    work.text(length, "the result of join")
    return str(separator.join(texts))


@_filter("first")
def _first(c: RenderContext, value: Any) -> Any:
    return jinja.sync_do_first(c.environment, value)


@_filter("last")
def _last(c: RenderContext, value: Any) -> Any:
    return jinja.do_last(c.environment, value)


@_filter("length", "count")
def _length(c: RenderContext, value: Any) -> int:
    c.work.charge(1)
    return len(value)


@_filter("reverse")
def _reverse(c: RenderContext, value: Any) -> Any:
    if isinstance(value, str):
        c.work.text(len(value), "reverse")
        return value[::-1]
    if hasattr(value, "__reversed__") or isinstance(value, list | tuple):
        return reversed(value)
    return _items_of(c.work, value)[::-1]


@_filter("default", "d")
def _default(c: RenderContext, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    c.work.charge(1)
    return default_value if isinstance(value, jinja2.Undefined) or (boolean and not value) else value


@_filter("batch")
def _batch(c: RenderContext, value: Any, linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
    if not (isinstance(linecount, int) and linecount > 0):
        raise RenderError("batch takes a number of items above 0")
    items = _items_of(c.work, value, 10)
    if fill_with is not None:
        c.work.text(linecount, "batch", 2)
    return jinja.do_batch(items, linecount, fill_with)


@_filter("slice")
def _slice(c: RenderContext, value: Any, slices: int, fill_with: Any = None) -> Iterator[list[Any]]:
    if not (isinstance(slices, int) and slices > 0):
        raise RenderError("slice takes a number of columns above 0")
    items = _items_of(c.work, value, 4)
    c.work.text(slices, "slice", 1)
    c.work.charge(slices * 3)
    return jinja.sync_do_slice(items, slices, fill_with)
