"""What stores report about themselves, and the limits that all stores share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PAGE = 500  #: rows that an operator's command may change in one transaction; the daemon's commits wait for it
#: interrupted attempts in a row after which a delivery is dead: the delivery itself may kill the daemon
MAX_INTERRUPTIONS = 3

Due = Mapping[str, int]
"""By target: the time (ms) at which the first of its pending, unblocked deliveries is due."""

CommitListener = Callable[[int, float], None]
"""Called by the writing thread after each transaction with the number of jobs in it and its duration in seconds.
It must be short, and must not raise."""

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is to do."""


@dataclass(frozen=True, slots=True)
class StoreSize:
    """The disk space of a store."""

    data: int  #: bytes of events, deliveries and their indexes
    log: int  #: bytes of a log of its own; 0: it has none
    free: int | None  #: bytes free on the store's disk; None: unknown to this process


@dataclass(frozen=True, slots=True)
class StoreFaults:
    """Failed writes of a store since the daemon started."""

    errors: int = 0  #: transactions that failed, or whose answer was lost
    deadlocks: int = 0  #: transactions that were repeated because another one was in the way


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check of the store."""

    name: str  #: the condition that must hold, in words
    broken: int  #: number of violations; 0 when it holds
    examples: tuple[str, ...]  #: the first violations
    cure: str
