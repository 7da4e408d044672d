"""The daemon's side of the guard: starts it, reports running commands to it, and replaces it when it ends.

See guard_process.py for what the guard does. It starts with the first command.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import structlog

from router.actions.command import guard_process
from router.actions.command.spawn import spawn
from router.runtime.lease import Lease
from router.runtime.thread_pool import Threads

_AGAIN_SECONDS = 5.0  #: pause after a failed start of the guard; commands run without it meanwhile
_WAIT_LOG_SECONDS = 5.0  #: an earlier daemon's guard ends within milliseconds, unless a process resists KILL
_END_SECONDS = 1.0  #: how long a stop waits for the guard's end

_LATE = "commands wait: the guard of an earlier daemon is still ending its commands"

log = structlog.get_logger()


class LeaseOver(Exception):
    """The lease ended before a program was started."""


class Guard:
    """Belongs to the loop. Any thread may call `starts`, `runs`, `ended` and renew the lease."""

    def __init__(self, threads: Threads, lease: Lease, lock: Path | None = None) -> None:
        """`lock`: a file that one guard holds at a time, for a daemon that may run the commands of the daemon before it
        again."""
        self._threads = threads
        self._lease = lease
        self._lock_file = lock
        self._mutex = threading.Lock()
        #: pids by the inode of the output's pipe; None while the program starts
        self._running: dict[int, int | None] = {}
        self._pipe: int | None = None  #: to the guard; None while no guard runs
        self.pid = 0  #: the guard's pid; 0 before the first start
        self._process: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._failed_at = -_AGAIN_SECONDS
        self._closing = False
        lease.on_renewed(self._renewed)

    async def ready(self) -> None:
        """Wait until a guard runs, or its start has failed."""
        if self._process is None:
            if time.monotonic() < self._failed_at + _AGAIN_SECONDS:
                return
            self._ready.clear()
            self._process = asyncio.create_task(self._keep())
        await self._ready.wait()

    @property
    def lapses(self) -> int:
        """The lapses of the lease after which the attempts that may run now have begun. It belongs to the loop."""
        return self._lease.begins_after

    def starts(self, pipe: int, lapses: int) -> None:
        """Report that a program is about to start, with its output going to the pipe with this inode. Raises LeaseOver,
        also when the lease was renewed after the attempt's had ended: another node may make it now."""
        with self._mutex:
            self._running[pipe] = None
            self._tell(f"starts {pipe}\n")
        if (
            self._lease.is_over or self._lease.lapses != lapses
        ):  # checked last, so that it notices a freeze before this line
            self.ended(pipe)
            raise LeaseOver

    def runs(self, pipe: int, pid: int) -> None:
        """Report that the program runs, as the leader of a process group."""
        with self._mutex:
            self._running[pipe] = pid
            self._tell(f"runs {pipe} {pid}\n")

    def ended(self, pipe: int) -> None:
        """Report that its group was killed, or it did not start. Call this before the leader is reaped."""
        with self._mutex:
            del self._running[pipe]
            self._tell(f"ended {pipe}\n")

    def _renewed(self) -> None:
        with self._mutex:
            self._tell(f"lease {self._lease.end!r}\n")

    def _tell(self, text: str) -> None:
        if self._pipe is None:
            return
        try:
            os.write(self._pipe, text.encode())
        except OSError:  # the guard has ended, or is frozen with a full pipe; another guard replaces it
            self._kill()

    def _kill(self) -> None:
        """Kill the guard. A closed pipe alone would look like the daemon's end, and the guard would kill all
        commands."""
        if self._pipe is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.close(self._pipe)
            self._pipe = None

    async def _keep(self) -> None:
        """Start a guard, and a new one whenever it ends."""
        try:
            while not self._closing:
                was_ready = await self._run()
                if self._closing:
                    return
                if not was_ready:
                    self._failed_at = time.monotonic()
                    log.error("the guard of commands can't be started; a killed daemon would leave commands running")
                    return
                log.warning("the guard of commands ended; another one is started")
        finally:
            self._ready.set()
            self._process = None

    async def _run(self) -> bool:
        """Run one guard until it ends. False when it was never ready."""
        try:
            pid, pipe, answers = await self._threads.call("guard", self._start)
        except OSError:
            return False
        with self._mutex:
            self.pid, self._pipe = pid, pipe
            self._tell(f"lease {self._lease.end!r}\n")
            for inode, leader in self._running.items():
                self._tell(f"starts {inode}\n" if leader is None else f"runs {inode} {leader}\n")
        try:
            return await self._until_its_end(answers)
        finally:
            os.close(answers)
            with self._mutex:
                if self._closing and self._pipe is not None:
                    os.close(self._pipe)  # no command runs, so the guard has nothing to kill
                    self._pipe = None
                self._kill()
            await asyncio.shield(self._threads.call("guard", os.waitpid, pid, 0))

    def _start(self) -> tuple[int, int, int]:
        """Start a guard: (pid, the pipe to it, the pipe from it). Raises OSError."""
        theirs, pipe = os.pipe()
        answers, output = os.pipe()
        os.set_blocking(pipe, False)  # a frozen guard must not stop the loop
        os.set_blocking(answers, False)
        arguments = [str(os.getpid()), *([str(self._lock_file)] if self._lock_file else [])]
        argv = [_python(), "-I", "-S", guard_process.__file__, *arguments]
        try:
            argv_bytes = [os.fsencode(text) for text in argv]
            return spawn(argv_bytes, cwd=b"/", env={}, stdin=theirs, stdout=output, stderr=output), pipe, answers
        except OSError:
            os.close(pipe)
            os.close(answers)
            raise

    async def _until_its_end(self, answers: int) -> bool:
        """Wait for the guard's end. Returns whether it was ready before."""
        loop, ended, is_ready = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        def read() -> None:
            with contextlib.suppress(BlockingIOError):
                if os.read(answers, 100):
                    late.cancel()
                    if self._ready.is_set():
                        log.info("another guard watches the commands")
                    is_ready.set()
                    self._ready.set()
                else:
                    loop.remove_reader(answers)
                    ended.set()

        late = loop.call_later(_WAIT_LOG_SECONDS, log.warning, _LATE)
        loop.add_reader(answers, read)
        try:
            await ended.wait()
        finally:
            late.cancel()
            loop.remove_reader(answers)
        return is_ready.is_set()

    async def close(self) -> None:
        """End the guard. Call it when no program runs."""
        self._lease.forget(self._renewed)
        self._closing = True
        if self._process is not None:
            self._process.cancel()
            await asyncio.wait([self._process], timeout=_END_SECONDS)


def _python() -> str:
    """The path of the Python interpreter. In a server that embeds Python, sys.executable is that server."""
    if Path(sys.executable or "").name.startswith(("python", "pypy")):
        return sys.executable
    return str(Path(sys.exec_prefix) / "bin" / "python3")
