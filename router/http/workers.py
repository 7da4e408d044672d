"""Threads for requests that take too long for a loop's own thread."""

import queue
import threading
from collections.abc import Callable


class Workers:
    """Start and stop belong to one thread; any thread may submit. Work that raises ends its worker."""

    def __init__(self, count: int, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # Daemon threads: a stop has a deadline, after which unfinished work is abandoned.
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Queue work for a worker thread."""
        self._queue.put(work)

    def stop(self, timeout: float) -> None:
        """End each worker after its current work; wait at most `timeout` seconds for all of them."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout / len(self._threads))

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
