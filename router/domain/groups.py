"""Groups: deliveries of one action and one value, of which some stand for others."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Latest:
    """Of the pending deliveries of one (rule, action, key), only the newest is made."""

    key: str  #: canonical JSON of latest_by's values
    wait_ms: int = 0  #: it is made when nothing newer has come for so long
    max_wait_ms: int = 0  #: at the latest so long after the first that waited


@dataclass(frozen=True, slots=True)
class Once:
    """Of the deliveries of one (rule, action, key), only the first in a time is made."""

    key: str  #: canonical JSON of once_by's values
    within_ms: int


Group = Latest | Once
"""The group of a planned delivery."""


def group_of(values: Mapping[str, Any]) -> Group:
    """A group from its fields by name, as JSON has them."""
    return Once(**values) if "within_ms" in values else Latest(**values)


class SkipReason(StrEnum):
    """Why a delivery is skipped."""

    NEWER = "newer"  #: a newer one of its latest_by value came
    EARLIER = "earlier"  #: an earlier one of its once_by value is made, or was


@dataclass(frozen=True, slots=True)
class Skipped:
    """A delivery that became skipped."""

    delivery_id: str
    event_id: str
    rule: str
    action: str
    target: str
    reason: SkipReason
    skipped_for: str  #: id of the delivery that stands for it
