"""Reports that the daemon works, as long as it does. When a loop hangs the reports end, and systemd restarts it."""

import threading
from collections.abc import Callable, Mapping
from functools import partial

import structlog

_CHECKS = 4  #: checks between two expected reports: a loop may be late by more than half of this time

log = structlog.get_logger()

Ping = Callable[[Callable[[], None]], None]
"""Hands a function to a loop, which calls it in its next round."""


class Watchdog:
    """`start` and `stop` belong to one thread.

    `loops` are pinged: each has to answer until the next check. `threads` only have to be alive: they may be busy, or
    wait for a full or slow disk, which a restart would not mend. `works` is called after each check without a failure,
    several times in `seconds`.
    """

    def __init__(
        self,
        seconds: float,
        works: Callable[[], None],
        loops: Mapping[str, Ping],
        threads: Mapping[str, Callable[[], bool]],
    ) -> None:
        self._every = seconds / _CHECKS
        self._works = works
        self._loops = loops
        self._threads = threads
        self._answered = {name: threading.Event() for name in loops}
        self._failed: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, because the daemon stops."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(self._every + 1)

    def _run(self) -> None:
        for name in self._loops:
            self._ping(name)
        while not self._stopping.wait(self._every):
            try:
                self._check()
            except Exception:  # checked again next time; if that fails too, systemd should restart the daemon
                log.exception("watching over the daemon's loops failed")

    def _check(self) -> None:
        failed = {name for name, is_alive in self._threads.items() if not is_alive()}
        for name in self._loops:
            if self._answered[name].is_set():
                self._ping(name)
            else:
                failed.add(name)
        for name in sorted(failed - self._failed):
            log.error("a part of the daemon does not work; the service manager will restart it", part=name)
        for name in sorted(self._failed - failed):
            log.info("a part of the daemon works again", part=name)
        self._failed = failed
        if not failed:
            self._works()

    def _ping(self, name: str) -> None:
        self._answered[name].clear()
        self._loops[name](partial(_answer, self._answered[name]))


def _answer(answered: threading.Event) -> None:
    answered.set()
