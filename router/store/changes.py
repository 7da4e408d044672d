"""What a transaction changed that others wait for: a job's DueListener, and where it is collected."""

from typing import Protocol

from router.domain.groups import Skipped


class DueListener(Protocol):
    """Hears what a job changed that others wait for."""

    def __call__(self, target: str, at: int, /) -> None:
        """A target got pending, unblocked deliveries; one is due at that time (ms)."""
        ...

    def skipped(self, delivery: Skipped) -> None:
        """A delivery became skipped."""
        ...

    def without_body(self, event_id: str, size: int) -> None:
        """A claim lacks the body of its event, of so many bytes. It is read after the transaction, since others wait
        for that."""
        ...


class Changes:
    """Collects what the jobs of one transaction say."""

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
