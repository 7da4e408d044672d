"""The fields of an event that conditions, `dedupe` and `order_by` read."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Any

from router.domain.credentials import CREDENTIALS
from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.domain.headers import HEADER_NAME
from router.rules.match import hints
from router.rules.match.jsonpath import Path, PathError, compile_item_path, compile_path
from router.rules.match.time_fields import TimeField

PLAIN = ("source", "method", "path", "ip")
TIMES = ("time", "weekday")
ITEM = "item"
_NAMED = ("headers", "query", "params")


@dataclass(frozen=True, slots=True, eq=False)
class EventField:
    """`source`, `method`, `path` or `ip`: one text for every event."""

    text: str
    text_only: bool = True  #: all its values are text
    decimals: bool = False  #: numeric operators read decimals in its texts
    single: bool = True  #: it has at most one value
    may_raise: bool = False  #: whether reading it may raise

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """The one value."""
        return [getattr(parsed.event, self.text)]


@dataclass(frozen=True, slots=True, eq=False)
class HeaderField:
    """`headers.<Name>`: one value for each time it was sent; the name's case doesn't matter."""

    text: str
    name: str  #: in lower case
    text_only: bool = True
    decimals: bool = True
    single: bool = False
    may_raise: bool = False

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """Its values, as text."""
        return parsed.headers.all(self.name)


@dataclass(frozen=True, slots=True, eq=False)
class QueryField:
    """`query.<name>`: one value for each time it was given."""

    text: str
    name: str
    text_only: bool = True
    decimals: bool = True
    single: bool = False
    may_raise: bool = False

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """Its values, as text."""
        return list(parsed.query.get(self.name, ()))


@dataclass(frozen=True, slots=True, eq=False)
class ParamField:
    """`params.<name>`: the part of the request's path at `{name}` in the source's path."""

    text: str
    name: str
    text_only: bool = True
    decimals: bool = True
    single: bool = True
    may_raise: bool = False

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """The one value; empty if the source's path has no such part."""
        params = parsed.params
        return [params[self.name]] if params is not None and self.name in params else []


@dataclass(frozen=True, slots=True, eq=False)
class PayloadField:
    """`$…`: a JSONPath on the payload."""

    text: str
    compiled: Path
    text_only: bool = False
    decimals: bool = False

    @property
    def single(self) -> bool:
        """The field has at most one value."""
        return self.compiled.single

    @property
    def may_raise(self) -> bool:
        """Whether reading it may raise."""
        return self.compiled.may_raise

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """What the path selects, in document order. Raises EvaluationError."""
        return self.compiled.read(parsed.payload)


@dataclass(frozen=True, slots=True, eq=False)
class ItemField:
    """`item…`: the item of a rule with `for_each`, or something inside it."""

    text: str
    compiled: Path
    text_only: bool = False
    decimals: bool = False

    @property
    def may_raise(self) -> bool:
        """Whether reading it may raise."""
        return self.compiled.may_raise

    @property
    def single(self) -> bool:
        """The field has at most one value."""
        return self.compiled.single

    @property
    def below(self) -> str:
        """The path from the item on, such as `.labels.severity`."""
        return self.text.removeprefix("item")

    def of(self, value: Any) -> list[Any]:
        """The values in an item, in document order. Raises EvaluationError."""
        return self.compiled.read(value)

    def values(self, _: ParsedEvent) -> list[Any]:
        """Always empty: an event alone has no item."""
        return []


AnyField = EventField | TimeField | HeaderField | QueryField | ParamField | PayloadField | ItemField


class FieldValues(dict[AnyField, list[Any]]):
    """The values of one event's fields, by field; each field is read once, when a condition first needs it.

    Callers must not change the lists. A look-up raises EvaluationError if the field can't be read.
    """

    __slots__ = ("failed", "parsed")

    def __init__(self, parsed: ParsedEvent) -> None:
        self.parsed = parsed
        self.failed: dict[AnyField, EvaluationError] | None = None

    def __missing__(self, field: AnyField) -> list[Any]:
        if self.failed is not None and field in self.failed:
            raise self.failed[field].with_traceback(None)
        try:
            values = self[field] = field.values(self.parsed)
        except EvaluationError as error:
            self.failed = {**(self.failed or {}), field: error}
            raise
        return values


def field(text: str, zone: tzinfo = UTC) -> AnyField:
    """Compile a field; the same text gives the same object. Raises PathError, whose text holds the cure.

    `zone` is the time zone of `time` and `weekday`.
    """
    return _time_field(text, zone) if text in TIMES else _field(text)


@lru_cache(maxsize=1_000)
def _time_field(text: str, zone: tzinfo) -> TimeField:
    return TimeField(text, zone)


@lru_cache(maxsize=100_000)
def _field(text: str) -> AnyField:
    if text.startswith("$"):
        return PayloadField(text, compile_path(text))
    if text in PLAIN:
        return EventField(text)
    if text == ITEM or text.startswith((ITEM + ".", ITEM + "[")):
        return ItemField(text, compile_path(compile_item_path("$" + text.removeprefix(ITEM))))
    area, dot, name = text.partition(".")
    if area in _NAMED and dot and name:
        if area == "headers":
            return _header(text, name)
        return QueryField(text, name) if area == "query" else ParamField(text, name)
    raise PathError(unknown_field(text))


def _header(text: str, name: str) -> HeaderField:
    if not HEADER_NAME.fullmatch(name):
        raise PathError(f'"{name}" is not a header name; write letters, digits and -')
    if name.lower() in CREDENTIALS:
        raise PathError(f"{name} is removed after verification, so no rule sees it; check it by verify: with a scheme")
    return HeaderField(text, name.lower())


def unknown_field(text: str) -> str:
    """The message for an unknown field, with the nearest known field or the probable JSONPath."""
    return hints.unknown_field(text, (*PLAIN, *TIMES, *_NAMED, "all", "any", "none", "not"))
