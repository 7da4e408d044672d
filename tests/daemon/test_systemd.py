"""The datagrams that the daemon sends to systemd, on a real socket."""

import os
import socket
import tempfile
import time
from collections.abc import Iterator

import pytest

from router.daemon.systemd import VARIABLES, Systemd, remove_variables


class Listening:
    """Stands for the service manager: receives datagrams."""

    def __init__(self, address: str) -> None:
        self.name = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))

    def hear(self, seconds: float = 30.0) -> dict[str, str]:
        """The next datagram."""
        self._socket.settimeout(seconds)
        return dict(line.split("=", 1) for line in self._socket.recv(65536).decode().split("\n"))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest) -> Iterator[Listening]:
    """A service manager's socket, with a name in the file system or an abstract name."""
    with tempfile.TemporaryDirectory() as folder:  # the path of pytest's folder may be too long for a socket
        name = f"{folder}/notify" if request.param == "path" else f"@webhook-router-{os.getpid()}-{time.monotonic_ns()}"
        listening = Listening(name)
        yield listening
        listening.close()


def test_each_state_is_sent_with_its_fields(systemd: Listening) -> None:
    told = Systemd({"NOTIFY_SOCKET": systemd.name})

    told.ready("serving")
    assert systemd.hear() == {"READY": "1", "STATUS": "serving"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told.reloading()
    heard = systemd.hear()
    assert heard["RELOADING"] == "1"
    assert before <= int(heard["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told.status("a\nREADY=0\x1b[m")
    assert systemd.hear() == {"STATUS": "a READY=0 [m"}
    told.status("x" * 10_000)
    assert len(systemd.hear()["STATUS"]) == 400
    told.stopping(12.5)
    assert systemd.hear() == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "12500000", "STATUS": "stopping"}
    told.works()
    assert systemd.hear() == {"WATCHDOG": "1"}


@pytest.mark.parametrize(
    "address", ["", "relative", "vsock:2:1", "/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 200, "/a\0b", "@"]
)
def test_an_unusable_notify_socket_is_ignored(address: str) -> None:
    told = Systemd({"NOTIFY_SOCKET": address})

    told.ready("serving \ud800")
    told.reloading()
    told.stopping(1)


def test_a_full_notify_socket_delays_a_send_by_a_second_at_most(systemd: Listening) -> None:
    told = Systemd({"NOTIFY_SOCKET": systemd.name})
    began, worked = time.monotonic(), time.thread_time()
    full = 0
    while time.monotonic() - began < 0.9 and full < 2000:
        told.works()
        full += 1

    told.works()

    assert time.monotonic() - began < 30  # a send waits at most a second for a full socket
    assert time.thread_time() - worked < 0.5


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "٣"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_used_only_by_the_process_it_names(environ: dict[str, str], seconds: float | None) -> None:
    assert Systemd({"NOTIFY_SOCKET": "/run/notify", **environ}).watchdog_seconds == seconds
    assert Systemd(environ).watchdog_seconds is None


def test_children_do_not_inherit_the_notify_socket() -> None:
    environ = {**dict.fromkeys(VARIABLES, "x"), "PATH": "/bin"}

    remove_variables(environ)

    assert environ == {"PATH": "/bin"}
