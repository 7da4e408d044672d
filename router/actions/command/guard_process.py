"""The guard of a daemon's commands: kills what is left of them once the daemon is gone, or frozen past its lease.

A program of its own, so that it works when the daemon doesn't. It imports the standard library alone, and is run by its
path. Arguments: the daemon's pid, and a lock file that one guard holds at a time, if there is one. It writes a line to
standard output once it holds the lock, and reads from standard input:

    starts PIPE      a program is about to start, with its output going to the pipe with this inode
    runs PIPE PID    it runs, as the leader of the process group with this number
    ended PIPE       its group was killed. Sent before the leader is reaped, so the number is still its own
    lease SECONDS    commands may run until this time of the clock that goes on while the machine is suspended

The end of standard input means that the daemon is gone. A program that is just being started holds the other end as
well until it runs its own code, so by then /proc shows each program that was started.
"""

import contextlib
import fcntl
import math
import os
import select
import signal
import sys
import time
from collections.abc import Iterator

_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None) or time.CLOCK_MONOTONIC
_DEAD_SECONDS = 10.0  #: how long killed processes may take to end; one that waits for a dead disk runs no more code
_LOOK_SECONDS = 0.01
_ORPHANED_SECONDS = 30.0  #: how long a program may still take to start when the daemon is gone
_CHUNK = 64 * 1024


class Guard:
    """What runs: the process group by the inode of the output's pipe; None while the program starts."""

    def __init__(self) -> None:
        self.running: dict[int, int | None] = {}
        self.until = math.inf  #: the end of the lease
        self._is_over = False

    def hear(self, line: bytes) -> None:
        """Handle one line from the daemon."""
        word, *numbers = line.split()
        if word == b"starts":
            self.running[int(numbers[0])] = None
        elif word == b"runs":
            self.running[int(numbers[0])] = int(numbers[1])
            if self._is_over:  # the daemon was frozen between its last check of the lease and the start
                self.kill()
        elif word == b"ended":
            self.running.pop(int(numbers[0]), None)
        elif word == b"lease":
            if self.seconds_left() == 0:  # this process was frozen too
                self.end_lease()
            self.until = float(numbers[0])
            self._is_over = False

    def seconds_left(self) -> float | None:
        """Seconds until the lease ends; None when there is nothing to wait for."""
        if self._is_over or self.until == math.inf:
            return None
        return max(0.0, self.until - time.clock_gettime(_CLOCK))

    def end_lease(self) -> None:
        """Kill everything that runs, and everything that the daemon reports until it renews the lease."""
        self._is_over = True
        self.kill()

    def kill(self) -> None:
        """Kill the groups and wait until their processes have ended. Programs that are starting stay listed."""
        until = time.monotonic() + _DEAD_SECONDS
        groups = {pid for pid in self.running.values() if pid is not None}
        groups |= set(_leaders({inode for inode, pid in self.running.items() if pid is None}))
        while alive := _alive(groups):
            for pid in alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            if time.monotonic() > until:
                break
            time.sleep(_LOOK_SECONDS)
        self.running = {inode: pid for inode, pid in self.running.items() if pid is None}


def _processes() -> Iterator[tuple[int, bytes, int, int]]:
    """(pid, state, group, session) of all processes; empty on systems without /proc."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                state, _, group, session, *_ = file.read().rpartition(b")")[2].split()
                yield int(name), state, int(group), int(session)


def _leaders(inodes: set[int]) -> Iterator[int]:
    """Leaders of sessions whose standard output is one of these pipes."""
    wanted = {f"pipe:[{inode}]" for inode in inodes}
    for pid, _, _, session in _processes() if wanted else ():
        with contextlib.suppress(OSError):
            if pid == session and os.readlink(f"/proc/{pid}/fd/1") in wanted:
                yield pid


def _alive(groups: set[int]) -> set[int]:
    """The groups that still have a running process."""
    if not groups:
        return set()
    if os.path.exists("/proc/self/stat"):
        return {group for _, state, group, _ in _processes() if group in groups and state not in (b"Z", b"X")}
    return {pid for pid in groups if _exists(pid)}


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def _pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _lock(path: str) -> None:
    """Hold the lock until this process ends. The guard of an earlier daemon may still be killing commands."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)


def watch(daemon: int) -> None:
    """Follow the daemon's lines until the daemon is gone."""
    guard, text, orphaned_at = Guard(), b"", math.inf
    pidfd = _pidfd(daemon) if os.getppid() == daemon else None
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    if pidfd is not None:
        waiting.register(pidfd, select.POLLIN)
    while time.monotonic() < orphaned_at + _ORPHANED_SECONDS:
        seconds = guard.seconds_left() if orphaned_at == math.inf else 1.0
        ready = {fd for fd, _ in waiting.poll(None if seconds is None else math.ceil(seconds * 1000))}
        if 0 in ready:
            part = os.read(0, _CHUNK)
            if not part:
                break
            *lines, text = (text + part).split(b"\n")
            for line in lines:
                guard.hear(line)
        elif pidfd in ready:  # read first what the daemon wrote before its end
            waiting.unregister(pidfd)
            orphaned_at = time.monotonic()
            guard.kill()
        elif guard.seconds_left() == 0:
            guard.end_lease()
    guard.kill()


def main() -> None:
    """Guard the commands until the daemon is gone."""
    # A service manager tells all processes of the daemon to stop. The guard must end after the daemon.
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if len(sys.argv) > 2:
        _lock(sys.argv[2])
    os.write(1, b"ready\n")
    watch(int(sys.argv[1]))


if __name__ == "__main__":
    main()
