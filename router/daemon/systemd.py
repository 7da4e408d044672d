"""Tells systemd how the daemon stands: the datagrams of sd_notify(3), in a few lines of our own.

Where no service manager listens (no NOTIFY_SOCKET), nothing is said. Saying never fails and hardly waits: what a
service manager doesn't hear must not hurt a daemon that works.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping, MutableMapping

NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_TELL_SECONDS = 1.0  #: while so much waits for systemd that its socket is full
_MOST = 400  #: characters of a status line; `systemctl status` shows one line


class Systemd:
    """The service manager that started us, if one did. Any thread may call."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environ) if self._address is not None else None

    def ready(self, status: str) -> None:
        """It serves: for the first time, or again after `reloading`."""
        self._say("READY=1", f"STATUS={_line(status)}")

    def status(self, status: str) -> None:
        """What `systemctl status` shows."""
        self._say(f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """It reads its rules anew; `ready` has to follow."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, seconds: float) -> None:
        """It stops, which may take that long."""
        self._say("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}", "STATUS=stopping")

    def works(self) -> None:
        """It does what it is there for: has to be said at least every `watchdog_seconds`."""
        self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if self._address is None:
            return
        # A socket for each datagram: there are few, and one that is kept would outlive a restart of what listens.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | _CLOEXEC) as sock:
            sock.settimeout(_TELL_SECONDS)
            sock.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)


_CLOEXEC = getattr(socket, "SOCK_CLOEXEC", 0)  #: Python sets it as well; not every system has it as a flag


def forget(environ: MutableMapping[str, str]) -> None:
    """Take what is meant for this process alone out of the environment, so that no child speaks in our name."""
    for name in NAMES:
        environ.pop(name, None)


def _address(text: str) -> str | None:
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None  # other kinds are for virtual machines


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """How often systemd wants to hear from this very process; none: it doesn't."""
    for_pid = environ.get("WATCHDOG_PID", "")
    if for_pid and for_pid != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) > 0 else None


def _line(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= _MOST else shown[: _MOST - 1] + "…"
