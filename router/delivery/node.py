"""What the delivery loop needs of the node that it belongs to."""

from typing import Protocol


class DeliveringNode(Protocol):
    """Any thread may call it."""

    @property
    def action_types(self) -> tuple[str, ...]:
        """The types of actions that it delivers; empty: all."""
        ...

    @property
    def fleet_rules(self) -> str:
        """The hash of the fleet's rules."""
        ...

    def due(self) -> None:
        """A commit made something due, which another node may take."""
        ...

    def breaker(self, target: str, noted: str | None) -> None:
        """The breaker of a target changed; None: it is closed."""
        ...
