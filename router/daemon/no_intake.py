"""The intake of a node that only delivers: it takes no requests."""

from collections.abc import Callable


class NoIntake:
    """Has the interface of a server, and takes no requests. Any thread may call it."""

    port = 0
    alive = True

    @staticmethod
    def is_busy() -> bool:
        """Never: no request arrives."""
        return False

    @staticmethod
    def connections() -> tuple[int, int]:
        """Always none."""
        return 0, 0

    @staticmethod
    def ping(answer: Callable[[], None]) -> None:
        """Answer at once: there is no loop that could hang."""
        answer()

    def start(self) -> None:
        """Nothing to do."""

    def stop(self, timeout: float) -> None:
        """Nothing to do."""
