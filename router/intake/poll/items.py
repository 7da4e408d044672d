"""Reads the items of an answer, and the ids by which later polls recognize them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from router.domain.errors import EvaluationError, PayloadError
from router.domain.polls import item_id
from router.intake.poll.list_path import ListPath
from router.payload.body import Format, Parse, read_declared, usual_type
from router.plugins.poll import PolledItem
from router.rules.match.fields import ItemField

JSON_TYPE = "application/json"
MOST_ITEMS = 100_000  #: of one answer; a service splits more into pages


@dataclass(frozen=True, slots=True)
class ItemReader:
    """Reads answers. Raises PayloadError, without any part of the answer, when one can't be read."""

    parse: Parse | None = None
    items: ListPath | None = None  #: None: an answer is one item
    ids: Sequence[ItemField] = field(default=())

    def payload(self, body: bytes, content_type: str | None) -> tuple[object, Format]:
        """The answer, parsed."""
        if content_type is None and self.parse is None:
            content_type = usual_type(body)
        try:
            found = read_declared(body, content_type, parse=self.parse)
        except PayloadError as error:
            raise PayloadError(str(error).replace("the body", "the answer", 1)) from None
        return found.payload, found.format

    def read(self, body: bytes, content_type: str | None) -> list[PolledItem]:
        """The items in their order. Of several items with one id only the first."""
        payload, format_ = self.payload(body, content_type)
        return self.items_of(payload, format_, body, content_type)

    def items_of(self, payload: object, format_: Format, body: bytes, content_type: str | None) -> list[PolledItem]:
        """The items of a parsed answer."""
        if self.items is None:
            return [PolledItem(item_id([body.decode("latin-1")]), body, content_type, payload)]
        if format_ is Format.TEXT:
            raise PayloadError("the answer is text, which has no items; if it is JSON or XML, say so by parse")
        try:
            found = self._found(payload, format_)
        except EvaluationError as error:
            raise PayloadError(f"the items can't be read: {error}") from None
        firsts: dict[str, PolledItem] = {}
        for item in found:
            firsts.setdefault(item.id, item)
        return list(firsts.values())

    def _found(self, payload: object, format_: Format) -> list[PolledItem]:
        assert self.items is not None
        values = self.items.read(payload, format_)
        if len(values) > MOST_ITEMS:
            raise PayloadError(f"the answer has more than {MOST_ITEMS:,} items; ask for pages")
        return [PolledItem(self._id(value), orjson.dumps(value), JSON_TYPE, value) for value in values]

    def _id(self, item: object) -> str:
        """A hash of the id fields' values. For an item without any of them, a hash of the whole item."""
        values = [one.of(item) for one in self.ids]
        is_known = any(value is not None for found in values for value in found)
        return item_id(values if is_known else [item])
