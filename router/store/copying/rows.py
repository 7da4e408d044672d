"""What is copied: the rows of each table, by names that both kinds of store understand."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Row = Mapping[str, Any]
"""A row by column. Texts may hold any character."""

TABLES = (
    "ruleset",
    "included",
    "event",
    "matched_alone",
    "delivery",
    "attempt",
    "dedupe",
    "once",
    "hold",
    "note",
    "notice",
    "poll",
    "poll_item",
    "poll_gone",
    "target",
)
"""In the order in which they are copied: attempts after their deliveries, included texts after their rulesets.

Not copied are positions of followers (`tail` starts anew), and what a node says while it lives.
"""


@dataclass(frozen=True, slots=True)
class LastNumbers:
    """The highest numbers ever used, also by rows that were removed: new rows go on above them."""

    event: int
    delivery: int


class CopySource(Protocol):
    """The store that is read. No daemon runs on it until it is closed."""

    def columns(self, table: str) -> frozenset[str]:
        """The columns that its rows have; none: it has no such table."""
        ...

    def rows(self, table: str) -> Iterator[Row]:
        """All rows of a table, in the order in which they were written."""
        ...

    def count(self, table: str) -> int:
        """The number of rows."""
        ...

    def last_numbers(self) -> LastNumbers:
        """The highest numbers ever used."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class CopyTarget(Protocol):
    """The new store. Nothing is left of it unless `finish` was called."""

    def columns(self, table: str) -> frozenset[str]:
        """The columns that its rows can have; none: it has no such table."""
        ...

    def write(self, table: str, columns: Iterable[str], rows: Iterable[Row]) -> int:
        """Write rows; gives their number."""
        ...

    def finish(self, last: LastNumbers) -> None:
        """Make it durable."""
        ...

    def close(self) -> None:
        """Release it."""
        ...
