"""Reports the daemon's state to systemd, with the datagrams of sd_notify(3).

Without NOTIFY_SOCKET nothing is sent. Sending never raises and waits at most a second: a service manager that does not
read must not hurt a daemon that works.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping, MutableMapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_SEND_SECONDS = 1.0  #: how long a datagram waits while systemd's socket is full
_LINE_LENGTH = 400  #: characters of a status line; `systemctl status` shows one line


class Systemd:
    """The service manager that started this process, if one did. Any thread may call it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environ) if self._address is not None else None

    def ready(self, status: str) -> None:
        """Report that the daemon serves: at the start, or again after `reloading`."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def status(self, status: str) -> None:
        """The line that `systemctl status` shows."""
        self._send(f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """Report that the daemon reloads its rules. `ready` must follow."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, seconds: float) -> None:
        """Report that the daemon stops, and how long that may take."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}", "STATUS=stopping")

    def works(self) -> None:
        """Report that the daemon works. Call it at least every `watchdog_seconds`."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A new socket for each of the few datagrams: an open one would still lead to a listener that was restarted.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | _CLOEXEC) as sock:
            sock.settimeout(_SEND_SECONDS)
            sock.connect(self._address)  # or a full listener would be asked again and again, instead of waited for
            sock.send("\n".join(lines).encode("utf-8", "replace"))


_CLOEXEC = getattr(socket, "SOCK_CLOEXEC", 0)  #: Python sets it too; not every system has the flag


def remove_variables(environ: MutableMapping[str, str]) -> None:
    """Remove the variables that are meant for this process alone, so that no child reports for it."""
    for name in VARIABLES:
        environ.pop(name, None)


def _address(text: str) -> str | None:
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None  # other kinds of address are for virtual machines


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """The longest time between two WATCHDOG=1 of this process; None when systemd expects none."""
    for_pid = environ.get("WATCHDOG_PID", "")
    if for_pid and for_pid != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) > 0 else None


def _line(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= _LINE_LENGTH else shown[: _LINE_LENGTH - 1] + "…"
