"""The daemon's side of the guard: starts it, tells it what runs, and replaces it when it ends.

See guard_process.py for what the guard does. It costs nothing until the first command runs.
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

_AGAIN_SECONDS = 5.0  #: after a guard that could not be started; commands run without one meanwhile
_WAIT_LOG_SECONDS = 5.0  #: an earlier daemon's guard takes some milliseconds, unless it can't kill what it guards
_END_SECONDS = 1.0  #: what a stop allows for the guard's end

_LATE = "commands wait: the guard of an earlier daemon still ends what that one left running"

log = structlog.get_logger()


class LeaseOver(Exception):
    """The lease ended before a program was started."""


class Guard:
    """Belongs to the loop; `starts`, `runs`, `ended` and a renewal of the lease may come from any thread."""

    def __init__(self, threads: Threads, lease: Lease, lock: Path | None = None) -> None:
        """`lock`: a file that one guard holds at a time, where a restarted daemon may run the same commands at once."""
        self._threads = threads
        self._lease = lease
        self._lock_file = lock
        self._mutex = threading.Lock()
        self._running: dict[int, int | None] = {}  #: by the inode of its output's pipe: its pid, None while it starts
        self._pipe: int | None = None  #: to the guard; None: none is there to be told
        self.pid = 0  #: the guard's; 0: none was started yet
        self._process: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._failed_at = -_AGAIN_SECONDS
        self._closing = False
        lease.on_renewed(self._renewed)

    async def ready(self) -> None:
        """Wait until a guard watches, or could not be started."""
        if self._process is None:
            if time.monotonic() < self._failed_at + _AGAIN_SECONDS:
                return
            self._ready.clear()
            self._process = asyncio.create_task(self._keep())
        await self._ready.wait()

    def starts(self, pipe: int) -> None:
        """A program is about to start, with its output going to the pipe with this inode. Raises LeaseOver."""
        with self._mutex:
            self._running[pipe] = None
            self._tell(f"starts {pipe}\n")
        if self._lease.is_over:  # looked at last, so that a freeze before it is seen
            self.ended(pipe)
            raise LeaseOver

    def runs(self, pipe: int, pid: int) -> None:
        """It runs, as the leader of a process group."""
        with self._mutex:
            self._running[pipe] = pid
            self._tell(f"runs {pipe} {pid}\n")

    def ended(self, pipe: int) -> None:
        """Its group was killed, or it did not start. Call it before its leader is reaped."""
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
        except OSError:  # it has ended, or is frozen with a full pipe: another one takes its place
            self._kill()

    def _kill(self) -> None:
        """End the guard, before it could take a closed pipe for the daemon's end."""
        if self._pipe is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.close(self._pipe)
            self._pipe = None

    async def _keep(self) -> None:
        """Start a guard, and another one whenever it ends."""
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
        """Run one guard to its end. False when it never was ready."""
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
                    os.close(self._pipe)  # nothing runs any more, so it has nothing to kill
                    self._pipe = None
                self._kill()
            await asyncio.shield(self._threads.call("guard", os.waitpid, pid, 0))

    def _start(self) -> tuple[int, int, int]:
        """(pid, the pipe to it, the pipe from it). Raises OSError."""
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
        """Whether it was ready before its end."""
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
        """End the guard, once no program runs."""
        self._lease.forget(self._renewed)
        self._closing = True
        if self._process is not None:
            self._process.cancel()
            await asyncio.wait([self._process], timeout=_END_SECONDS)


def _python() -> str:
    """The interpreter. A server that embeds it gives its own name for it."""
    if Path(sys.executable or "").name.startswith(("python", "pypy")):
        return sys.executable
    return str(Path(sys.exec_prefix) / "bin" / "python3")
