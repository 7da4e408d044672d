"""Groups: deliveries of one action and one value, of which some stand for others."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Latest:
    """Of the pending deliveries of one (rule, action, key), only the newest is made."""

    key: str  #: canonical JSON of latest_by's values
    wait_ms: int = 0  #: the delivery starts when nothing newer has come for this time
    max_wait_ms: int = 0  #: the longest wait after the first delivery that waited


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

    NEWER = "newer"  #: a newer delivery with its latest_by value came
    EARLIER = "earlier"  #: an earlier delivery with its once_by value exists


@dataclass(frozen=True, slots=True)
class Skipped:
    """A delivery that became skipped."""

    delivery_id: str
    event_id: str
    rule: str
    action: str
    target: str
    reason: SkipReason
    skipped_for: str  #: id of the delivery that replaces it
