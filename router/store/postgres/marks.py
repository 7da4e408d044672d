"""Low-water marks: the time from which a target may have due deliveries. A claim starts there."""

from collections.abc import Iterable, Mapping

from router.domain.deliveries import Claim

#: after this a claim starts at the first delivery again, to find deliveries that nobody announced
FULL_LOOK_SECONDS = 30.0
SLACK_MS = 5_000  #: below the mark: other nodes may commit late what they received earlier


class Marks:
    """The marks by target. Only the writer's thread may use it."""

    def __init__(self, *, alone: bool = True) -> None:
        self.alone = alone  #: no other node commits deliveries
        self._marks: dict[str, int] = {}
        self._looked_at: dict[str, float] = {}  #: monotonic; of the last claim that began at the first delivery

    def of(self, targets: Iterable[str], monotonic: float) -> dict[str, int]:
        """The marks to claim from. A target without a mark is read from the start."""
        found = {}
        for target in targets:
            if monotonic - self._looked_at.get(target, float("-inf")) >= FULL_LOOK_SECONDS:
                self._looked_at[target] = monotonic
                self._marks.pop(target, None)
            elif target in self._marks:
                found[target] = self._marks[target] - (0 if self.alone else SLACK_MS)
        return found

    def claimed(self, claims: Iterable[Claim]) -> None:
        """Raise the marks: everything that was due before these deliveries is claimed. They are sorted by due time."""
        for claim in claims:
            self._marks[claim.delivery.target] = claim.delivery.next_attempt_at

    def due(self, due: Mapping[str, int]) -> None:
        """Lower the marks: deliveries are due at these times (ms)."""
        for target, at in due.items():
            if at < self._marks.get(target, at):
                self._marks[target] = at

    def forget(self) -> None:
        """Drop all marks: after replays by others, or after a transaction whose outcome is unknown."""
        self._marks.clear()
        self._looked_at.clear()
