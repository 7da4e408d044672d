"""Runs a program in a process group of its own, within limits, and leaves none of its processes behind."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from router.actions.command.guard import Guard, LeaseOver
from router.actions.command.pipes import Drain, Feeder
from router.actions.command.spawn import spawn
from router.domain.action_answer import ANSWER_BYTES
from router.runtime.thread_pool import Threads

DRAIN_SECONDS = 1.0  #: how long the output is read after the leader's exit; children may still hold the pipes
_CANCELLED_KILL_AFTER = 1.0  #: seconds from TERM to KILL when the daemon stops
_SPAWN_SECONDS = 1.0  #: how long a stop waits for a program that is just starting


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended."""

    code: int  #: exit code; negative: the signal that ended it
    timed_out: bool
    output: bytes  #: the end of its standard output and error, unchanged
    answer: bytes | None = None  #: its standard output, when the sender waits for it and it has at most ANSWER_BYTES


async def run(
    argv: Sequence[bytes],
    *,
    threads: Threads,
    guard: Guard,
    cwd: bytes,
    env: Mapping[bytes, bytes],
    stdin: bytes,
    timeout: float,  # noqa: ASYNC109 - it ends a process group, not this coroutine
    kill_after: float,
    output_limit: int,
    answers: bool = False,
) -> Finished:
    """Run a program until it ends. With `answers` its standard output is returned separately.

    On timeout or cancellation the group gets TERM, then KILL. Raises OSError, LeaseOver.
    """
    with contextlib.ExitStack() as ours:
        output, theirs = os.pipe()
        ours.callback(os.close, output)
        answer, stdout = os.pipe() if answers else (None, theirs)
        if answer is not None:
            ours.callback(os.close, answer)
        try:
            source, feeder = _input(stdin)
        except OSError:
            for fd in {theirs, stdout}:
                os.close(fd)
            raise
        if feeder is not None:
            ours.callback(feeder.close)
        guarded = _Guarded(guard, os.fstat(output).st_ino)
        pid = await _spawned(threads, guarded, argv, cwd, env, (source, stdout, theirs))
        try:
            running = _Running(pid, guarded, threads, output, feeder, output_limit, answer)
        except BaseException:
            guarded.kill(pid)
            threads.call("wait", os.waitpid, pid, 0)
            raise
        return await running.ended(timeout, kill_after)


def _input(data: bytes) -> "tuple[int, Feeder | None]":
    """The descriptor of standard input, and a feeder when the data is larger than the pipe. Raises OSError."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), None
    reading, writing = os.pipe()
    feeder = Feeder(writing, data)
    feeder.write()  # most events fit into the pipe; the rest follows as the program reads
    return reading, None if feeder.closed else feeder


@dataclass(frozen=True, slots=True)
class _Guarded:
    """One program. The guard identifies it by the pipe of its output."""

    guard: Guard
    pipe: int  #: its inode

    def start(self, starting: Callable[[], int]) -> int:
        """Start the program and return its pid. Raises OSError."""
        try:
            pid = starting()
        except BaseException:
            self.guard.ended(self.pipe)
            raise
        self.guard.runs(self.pipe, pid)
        return pid

    def kill(self, pid: int) -> None:
        """Kill what is left of its group. The leader is not reaped yet, so no other group can have its number."""
        _signal_group(pid, signal.SIGKILL)
        self.guard.ended(self.pipe)


async def _spawned(
    threads: Threads,
    guarded: _Guarded,
    argv: Sequence[bytes],
    cwd: bytes,
    env: Mapping[bytes, bytes],
    descriptors: tuple[int, int, int],
) -> int:
    """Start the program in a thread and return its pid. A cancellation in the meantime leaves nothing running. Raises
    OSError, LeaseOver."""
    cancelled, lapses = threading.Event(), guarded.guard.lapses

    def start() -> int:
        try:
            guarded.guard.starts(guarded.pipe, lapses)
        except LeaseOver:
            for fd in set(descriptors):
                os.close(fd)
            raise
        stdin, stdout, stderr = descriptors
        pid = guarded.start(lambda: spawn(argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr))
        if not cancelled.is_set():
            return pid
        guarded.kill(pid)
        os.waitpid(pid, 0)
        return 0

    starting = threads.call("spawn", start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([starting], timeout=_SPAWN_SECONDS)
        if starting.done() and starting.exception() is None and (pid := starting.result()):
            guarded.kill(pid)
            await threads.call("wait", os.waitpid, pid, 0)
        raise


class _Running:
    """A running program. Belongs to the loop."""

    def __init__(
        self,
        pid: int,
        guarded: _Guarded,
        threads: Threads,
        output: int,
        feeder: "Feeder | None",
        limit: int,
        answer: int | None = None,
    ) -> None:
        self._pid = pid
        self._guarded = guarded
        self._exited = _exit_of(pid, threads)
        self._drain = Drain(output, limit)
        self._answer = None if answer is None else Drain(answer, max(limit, ANSWER_BYTES + 1))
        self._limit = limit
        self._feeder = feeder
        if feeder is not None:
            feeder.start()

    async def ended(self, timeout: float, kill_after: float) -> Finished:  # noqa: ASYNC109 - see run
        """Wait until the program ends, or end it after the timeout; then reap it."""
        timed_out = False
        try:
            await asyncio.wait([self._exited], timeout=timeout)
            if not self._exited.done():
                timed_out = True
                await self._end(kill_after)
            await self._drain.ended(DRAIN_SECONDS)
            if self._answer is not None:
                await self._answer.ended(DRAIN_SECONDS)
        except asyncio.CancelledError:
            await self._end(_CANCELLED_KILL_AFTER)
            raise
        finally:
            self._guarded.kill(self._pid)
            if self._feeder is not None:
                self._feeder.close()
            self._drain.close()
            if self._answer is not None:
                self._answer.close()
            _, status = os.waitpid(self._pid, 0)  # noqa: ASYNC222 - it has ended
        code, output = os.waitstatus_to_exitcode(status), self._drain.output
        if self._answer is None:
            return Finished(code, timed_out, output)
        answer = self._answer.output
        shown = (answer + output)[-self._limit :]
        return Finished(code, timed_out, shown, answer if len(answer) <= ANSWER_BYTES else None)

    async def _end(self, kill_after: float) -> None:
        """Send TERM to the group, and KILL when the leader has not ended in time. Returns when the leader has ended."""
        if self._exited.done():
            return
        _signal_group(self._pid, signal.SIGTERM)
        deadline = time.monotonic() + kill_after
        await asyncio.wait([self._exited], timeout=max(0.0, deadline - time.monotonic()))
        if not self._exited.done():
            _signal_group(self._pid, signal.SIGKILL)
            await asyncio.wait([self._exited])


def _exit_of(pid: int, threads: Threads) -> "asyncio.Future[None]":
    """A future that is done when the process has ended. It does not reap the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or no descriptor is free
        waiting = threads.call("wait", os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        waiting.add_done_callback(lambda _: finish())
        return done

    def ended() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        finish()

    loop.add_reader(pidfd, ended)
    return done


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
