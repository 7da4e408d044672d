"""The fields `time` and `weekday`: when the event was received, in the file's time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from router.domain.events import ParsedEvent

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, eq=False)
class TimeField:
    """`time`, a text such as 09:30, or `weekday`, one of WEEKDAYS."""

    text: str
    zone: tzinfo = UTC
    text_only: bool = True
    decimals: bool = False
    single: bool = True
    may_raise: bool = False

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """The one value."""
        received = datetime.fromtimestamp(parsed.event.received_at / 1000, self.zone)
        return [received.strftime("%H:%M") if self.text == "time" else WEEKDAYS[received.weekday()]]
