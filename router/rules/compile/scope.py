"""What the conditions and fields of one rule may read, besides what every event has."""

from dataclasses import dataclass, replace
from datetime import UTC, tzinfo


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be read at one place of the rules file."""

    zone: tzinfo = UTC  #: of `time` and `weekday`
    params: frozenset[str] = frozenset()  #: names of the parts of its sources' paths
    redacted: frozenset[str] = frozenset()  #: fields that all of its sources redact; headers in lower case
    has_item: bool = False  #: in a rule with `for_each`
    in_element: bool = False  #: below `elem`, where `$` is the element, and other fields are errors

    @property
    def element(self) -> "Scope":
        """The scope of a condition below `elem`."""
        return replace(self, in_element=True)


EVERY_EVENT = Scope()
