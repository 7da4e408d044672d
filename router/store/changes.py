"""What a transaction changed for others: a job tells its DueListener, and Changes collects it."""

from typing import Protocol

from router.domain.groups import Skipped


class DueListener(Protocol):
    """A job tells it which deliveries became due or were skipped."""

    def __call__(self, target: str, at: int, /) -> None:
        """A target has new pending, unblocked deliveries. One of them is due at that time (ms)."""
        ...

    def skipped(self, delivery: Skipped) -> None:
        """A delivery became skipped."""
        ...

    def without_body(self, event_id: str, size: int) -> None:
        """A claim lacks the body of its event, of so many bytes. It is read after the transaction, since others wait
        for that."""
        ...


class Changes:
    """Collects what the jobs of one transaction tell."""

    def __init__(self) -> None:
        self.due: dict[str, int] = {}
        self.skips: list[Skipped] = []
        self.bodies: dict[str, int] = {}  #: by event's id, their sizes

    def __call__(self, target: str, at: int, /) -> None:
        """See DueListener."""
        self.due[target] = min(at, self.due.get(target, at))

    def skipped(self, delivery: Skipped) -> None:
        """See DueListener."""
        self.skips.append(delivery)

    def without_body(self, event_id: str, size: int) -> None:
        """See DueListener."""
        self.bodies[event_id] = size
