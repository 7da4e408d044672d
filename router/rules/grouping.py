"""Keys of deliveries: the values by which they are ordered and grouped."""

import hashlib
from dataclasses import dataclass

import orjson

from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.domain.groups import Group, Latest, Once
from router.domain.items import Item
from router.payload.redact.chosen import MARK
from router.rules.match.fields import ItemField
from router.rules.source import Field

LONGEST_KEY = 1024  #: bytes; a longer key is stored as its hash, since every delivery has it


def key_of(field: Field, parsed: ParsedEvent, item: Item | None) -> str | None:
    """Canonical JSON of a field's values, or its hash if long; None if there are none or they can't be read."""
    try:
        if isinstance(field, ItemField):
            values = [] if item is None else field.of(item.value)
        else:
            values = field.values(parsed)
    except EvaluationError:
        return None
    if all(value == MARK for value in values):
        return None  # a redacted value is the same in all events, so it can't group them
    key = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    return key.decode() if len(key) <= LONGEST_KEY else f"sha256:{hashlib.sha256(key).hexdigest()}"


@dataclass(frozen=True, slots=True)
class LatestBy:
    """An action's `latest_by`, with `wait` and `max_wait`."""

    field: Field
    wait_ms: int = 0
    max_wait_ms: int = 0

    def group(self, parsed: ParsedEvent, item: Item | None) -> Group | None:
        """The group of this event's delivery, or of an item's; None if it has no group."""
        key = key_of(self.field, parsed, item)
        return None if key is None else Latest(key, self.wait_ms, self.max_wait_ms)


@dataclass(frozen=True, slots=True)
class OnceBy:
    """An action's `once_by`, with `within`."""

    field: Field
    within_ms: int

    def group(self, parsed: ParsedEvent, item: Item | None) -> Group | None:
        """The group of this event's delivery, or of an item's; None if it has no group."""
        key = key_of(self.field, parsed, item)
        return None if key is None else Once(key, self.within_ms)


Grouping = LatestBy | OnceBy
"""How the deliveries of an action are grouped."""
