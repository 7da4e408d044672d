"""The places of the processes: one for each number, and the process that is in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from router.daemon.processes.member import Member
from router.daemon.processes.start import LARGE


@dataclass(slots=True)
class Place:
    """The place of one process, and the process in it."""

    number: int
    member: Member | None = field(default=None)
    start_at: float = field(default=0.0)  #: monotonic; the earliest time of the next start
    missing_since: float = field(default=0.0)  #: monotonic; 0: it serves

    @property
    def serves(self) -> bool:
        """Whether its process serves."""
        return self.member is not None and self.member.serves


class Places:
    """The places of the processes that accept connections, and of the one for large requests."""

    def __init__(self, processes: int) -> None:
        self.accepting = [Place(number) for number in range(1, processes + 1)]
        self.large = Place(LARGE)
        self.all: Sequence[Place] = (self.large, *self.accepting)

    def of(self, member: Member) -> Place:
        """The place that a process was started for."""
        return self.large if member.number == LARGE else self.accepting[member.number - 1]

    def members(self) -> list[Member]:
        """The processes in all places."""
        return [place.member for place in self.all if place.member is not None]

    def serving(self) -> int:
        """How many of those that accept connections serve."""
        return sum(place.serves for place in self.accepting)
