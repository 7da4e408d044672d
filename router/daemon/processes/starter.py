"""Starts the processes from the forkserver, and waits for the end of those that have ended."""

import asyncio
import socket
import time
from collections.abc import Callable

from router.daemon.launch import Launch
from router.daemon.processes.child import serve
from router.daemon.processes.forkserver import end_forkserver, forkserver, start_process
from router.daemon.processes.large_requests import queue
from router.daemon.processes.member import Member
from router.daemon.processes.places import Place
from router.daemon.processes.start import LARGE, ProcessStart, RulesToLoad
from router.daemon.wall_clock import CLOCK

KILLED_SECONDS = 5.0  #: how long a killed process may take to end


class ProcessStarter:
    """Belongs to the supervisor's thread."""

    def __init__(
        self,
        launch: Launch,
        listening: socket.socket,
        hub: asyncio.AbstractEventLoop,
        make_member: Callable[[int], Member],
    ) -> None:
        """`hub`: the loop of the connections to the processes; `make_member` makes the member with a number."""
        self._launch = launch
        self._listening = listening
        self._hub = hub
        self._make_member = make_member
        self._context = forkserver()
        self._to_judge, self._judged = queue()  # large requests wait in it
        self.forked_from = 0  #: the forkserver's pid; 0 before a process told it

    def start(self, place: Place, rules: RulesToLoad) -> None:
        """Start a process in an empty place."""
        launch = self._launch
        ours, theirs = socket.socketpair()
        member = self._make_member(place.number)
        start = ProcessStart(place.number, launch.settings, launch.environ, launch.logging, rules, CLOCK.encode())
        ends = (None, self._judged) if place.number == LARGE else (self._listening, self._to_judge)
        try:
            process = self._context.Process(target=serve, args=(theirs, *ends, start), daemon=True)
            start_process(process, self.forked_from)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        member.process = process
        place.member = member
        place.missing_since = place.missing_since or time.monotonic()
        ours.settimeout(0)
        asyncio.run_coroutine_threadsafe(member.attach(ours), self._hub).result(KILLED_SECONDS)

    def reap(self, member: Member) -> int | None:
        """Wait for the end of a process that was killed or has ended. Returns its exit code."""
        process = member.process
        if process is None:
            return None
        process.join(KILLED_SECONDS)
        if process.exitcode is None:  # the forkserver should report its end, and does not
            end_forkserver(self.forked_from)
            process.join(KILLED_SECONDS)
        return process.exitcode

    def close(self) -> None:
        """Close the queue of large requests. All processes must have ended."""
        self._to_judge.close()
        self._judged.close()
