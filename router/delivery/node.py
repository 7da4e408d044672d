"""What the delivery loop needs from its node, when several nodes share a store."""

from typing import Protocol


class DeliveringNode(Protocol):
    """Any thread may call it."""

    @property
    def action_types(self) -> tuple[str, ...]:
        """The types of actions that this node delivers. Empty: all types."""
        ...

    @property
    def fleet_rules(self) -> str:
        """The hash of the rules that the fleet uses."""
        ...

    def due(self) -> None:
        """Tell the other nodes that a commit made deliveries due."""
        ...

    def breaker(self, target: str, noted: str | None) -> None:
        """Tell the other nodes the state of a target's breaker. None: it is closed."""
        ...
