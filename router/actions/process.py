"""Run a program in a process group of its own, within bounds, and leave nothing of it behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

DRAIN_SECONDS = 1.0  #: after the leader's exit its pipes are read on for this long; children may still hold them
_CANCELLED_KILL_AFTER = 1.0  #: seconds from TERM to KILL when the daemon stops
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended."""

    code: int  #: exit code; negative: the signal that ended it
    timed_out: bool
    output: bytes  #: the end of its standard output and error, as they came


async def run(
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    stdin: bytes,
    timeout: float,  # noqa: ASYNC109 - it ends a process group, not this coroutine
    kill_after: float,
    output_limit: int,
) -> Finished:
    """Run it to its end. On timeout or cancellation the group gets TERM, then KILL. Raises OSError, ValueError."""
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - vfork and exec take less than a hop to a thread
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    feeder = _Feeder(process.stdin, stdin)
    drain = _Drain(process.stdout.fileno(), output_limit)
    exited = _exit_of(process.pid)
    timed_out = False
    try:
        try:
            await asyncio.wait_for(asyncio.shield(exited), timeout)
        except TimeoutError:
            timed_out = True
            await _end(process.pid, exited, kill_after)
        await drain.ended(DRAIN_SECONDS)
    except asyncio.CancelledError:
        await _end(process.pid, exited, _CANCELLED_KILL_AFTER)
        raise
    finally:
        # The leader is not reaped yet, so the group's number can't belong to anybody else: KILL reaches exactly what
        # it left behind.
        _signal_group(process.pid, signal.SIGKILL)
        feeder.close()
        drain.close()
        process.stdout.close()
        process.wait()
    return Finished(process.returncode, timed_out, drain.output)


def _exit_of(pid: int) -> "asyncio.Future[None]":
    """Done when the process has ended; it is not reaped by that."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    if not hasattr(os, "pidfd_open"):
        waiting = asyncio.ensure_future(asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT))
        waiting.add_done_callback(lambda _: finish())
        return done
    pidfd = os.pidfd_open(pid)

    def ended() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        finish()

    loop.add_reader(pidfd, ended)
    return done


async def _end(pid: int, exited: "asyncio.Future[None]", kill_after: float) -> None:
    """TERM to the group, KILL when its leader has not ended in time; returns once the leader has ended."""
    _signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + kill_after
    while not exited.done():
        try:
            await asyncio.wait_for(asyncio.shield(exited), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            _signal_group(pid, signal.SIGKILL)
            await exited


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class _Feeder:
    """Writes standard input as fast as it is read; a program that closes it early is fine."""

    def __init__(self, pipe: IO[bytes], data: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipe = pipe
        self._fd = pipe.fileno()
        self._data = memoryview(data)
        os.set_blocking(self._fd, False)
        self._loop.add_writer(self._fd, self._write)

    def _write(self) -> None:
        try:
            while self._data:
                self._data = self._data[os.write(self._fd, self._data[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:
            pass  # closed by the program: it has read what it wanted
        self.close()

    def close(self) -> None:
        if not self._pipe.closed:
            self._loop.remove_writer(self._fd)
            self._pipe.close()


class _Drain:
    """Reads output to its end, and keeps the end of it."""

    def __init__(self, fd: int, limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._limit = limit
        self._kept = bytearray()
        self._eof: asyncio.Future[None] = self._loop.create_future()
        self._open = True
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    @property
    def output(self) -> bytes:
        return bytes(self._kept[-self._limit :])

    def _read(self) -> None:
        try:
            part = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.close()
            return
        self._kept += part
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    async def ended(self, timeout: float) -> None:  # noqa: ASYNC109 - not being done by then is no error
        await asyncio.wait([self._eof], timeout=timeout)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            if not self._eof.done():
                self._eof.set_result(None)
