"""The intake of a node that only delivers: there is none."""

from collections.abc import Callable


class NoIntake:
    """The interface of a server that takes nothing. Any thread may call it."""

    port = 0
    alive = True

    @staticmethod
    def is_busy() -> bool:
        """Nothing arrives."""
        return False

    @staticmethod
    def connections() -> tuple[int, int]:
        """None are open."""
        return 0, 0

    @staticmethod
    def ping(answer: Callable[[], None]) -> None:
        """There is no loop that could hang."""
        answer()

    def start(self) -> None:
        """Nothing to do."""

    def stop(self, timeout: float) -> None:
        """Nothing to do."""
