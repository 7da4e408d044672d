"""What a transaction changed for other parts of the program. Jobs tell a DueListener, and Changes collects it."""

from typing import Protocol

from router.domain.groups import Skipped


class DueListener(Protocol):
    """Jobs report to it which deliveries became due or were skipped."""

    def __call__(self, target: str, at: int, /) -> None:
        """A target has new pending, unblocked deliveries. One of them is due at that time (ms)."""
        ...

    def skipped(self, delivery: Skipped) -> None:
        """A delivery became skipped."""
        ...

    def without_body(self, event_id: str, size: int) -> None:
        """A claim lacks the body of its event, which has this many bytes.

        The body is read after the transaction, so that other writes don't wait for it.
        """
        ...


class Changes:
    """Collects what the jobs of one transaction report."""

    def __init__(self) -> None:
        self.due: dict[str, int] = {}
        self.skips: list[Skipped] = []
        self.bodies: dict[str, int] = {}  #: sizes of missing bodies, by the event's id

    def __call__(self, target: str, at: int, /) -> None:
        """See DueListener."""
        self.due[target] = min(at, self.due.get(target, at))

    def skipped(self, delivery: Skipped) -> None:
        """See DueListener."""
        self.skips.append(delivery)

    def without_body(self, event_id: str, size: int) -> None:
        """See DueListener."""
        self.bodies[event_id] = size
