"""Other senders are served while a flood takes all connections."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.domain.reply import Reply
from router.http.contract import Pending, Request
from router.http.eviction import network
from router.http.limits import GRACE_SECONDS
from tests.conftest import until
from tests.http.talking import connect, get, rest, status, talk

Serve = Callable[..., Any]
LIMIT = 128
#: s; a legitimate sender has its reply sooner. Without a free connection it waits for the deadlines of the flood.
SOON = 10.0
FEW = "127.0.0.{}"
GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


def handler(request: Request) -> Reply:
    """Accept one path, and refuse the others."""
    return Reply(202, b"accepted") if request.path == "/right" else Reply(404, b"")


def flood(port: int, first: bytes, more: bytes, addresses: int, over: threading.Event) -> None:
    """Hold as many connections as possible until `over` is set. Replace each connection that the server closes."""
    hosts = itertools.cycle(range(2, 2 + addresses))
    held: list[socket.socket] = []
    while not over.is_set():
        with contextlib.suppress(OSError):
            one = socket.create_connection(("127.0.0.1", port), 1, (FEW.format(next(hosts)), 0))
            held.append(one)
            one.setblocking(False)
            one.sendall(first)
        for one in held[-LIMIT::20]:
            with contextlib.suppress(OSError):
                one.sendall(more)
                one.recv(65536)
        while len(held) > 2 * LIMIT:
            held.pop(0).close()
        if len(held) > LIMIT:
            over.wait(0.001)  # for at most some thousand connections a second
    for one in held:
        one.close()


@contextlib.contextmanager
def flooded(server: Any, first: bytes, more: bytes, addresses: int) -> Iterator[None]:
    """Run a server whose connections are all taken by a flood."""
    over = threading.Event()
    flooder = threading.Thread(target=flood, args=(server.port, first, more, addresses, over))
    flooder.start()
    try:
        until(lambda: server.connections()[0] >= LIMIT - 2)
        yield
    finally:
        over.set()
        flooder.join(30)


FLOODS = {
    "idle": (b"", b""),
    "drip of headers": (b"GET /right HTTP/1.1\r\nX: ", b"x"),
    "drip of a body": (b"POST /right HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", b"x"),
    "blank lines": (b"\r\n", b"\r\n"),
    "404s": (GET % b"wrong", GET % b"wrong"),
    "nonsense": (b"\x16\x03\x01", b"x"),
}


@pytest.mark.parametrize("addresses", [1, 200])
@pytest.mark.parametrize("kind", FLOODS)
def test_a_legitimate_sender_is_served_at_once_during_a_flood(plain: Serve, kind: str, addresses: int) -> None:
    server = plain(handler, connections=LIMIT)
    with flooded(server, *FLOODS[kind], addresses), connect(server) as kept:
        kept.sendall(GET % b"right")
        assert b" 202 " in kept.recv(1000)
        took = []
        for host in ("127.0.0.1", "127.0.0.2") * 10:
            began = time.monotonic()
            assert status(talk(server, get("/right"), close=False, host=host)) == 202
            took.append(time.monotonic() - began)
        kept.sendall(GET % b"right")
        assert b" 202 " in kept.recv(1000)  # it had an accepted request, so the server closed other connections

    assert max(took) < SOON
    assert server.connections()[0] <= LIMIT


def test_connections_are_kept_while_no_other_sender_waits(own: Serve) -> None:
    server = own(handler, connections=LIMIT)
    held = [connect(server) for _ in range(LIMIT)]
    for one in held:
        one.sendall(GET % b"right")
    for one in held:
        assert b" 202 " in one.recv(1000)
        one.sendall(GET % b"right")
        assert b" 202 " in one.recv(1000)
        one.close()


def test_the_address_with_the_most_connections_loses_one_first(own: Serve) -> None:
    server = own(handler, connections=LIMIT)
    few = [connect(server, "127.0.0.3") for _ in range(4)]
    many = [connect(server) for _ in range(LIMIT - 4)]
    until(lambda: server.connections()[0] == LIMIT)
    threading.Event().wait(2 * GRACE_SECONDS)  # the server keeps new connections for a while

    more = [connect(server, "127.0.0.4") for _ in range(8)]
    for one in [*few, *more, many[-1]]:
        one.sendall(GET % b"right")
        assert b" 202 " in one.recv(1000)
    with contextlib.suppress(ConnectionResetError):
        assert many[0].recv(1) == b""
    for one in [*few, *many, *more]:
        one.close()


def _has(futures: list[Any], number: int) -> bool:
    return len(futures) > number


def test_a_connection_with_a_running_request_is_never_closed_and_others_wait(plain: Serve) -> None:
    futures: list[Future[None]] = []

    def later(_: Request) -> Pending:
        futures.append(Future())
        return Pending(futures[-1], lambda _: Reply(202, b"accepted"))

    server = plain(later, connections=4)
    held = [connect(server) for _ in range(6)]
    for one in held:
        one.sendall(get("/right"))
    until(lambda: len(futures) == 4)
    threading.Event().wait(0.3)  # the time in which no other connection may be accepted
    assert len(futures) == 4
    assert server.connections()[0] == 4
    for number in range(6):
        until(partial(_has, futures, number))
        futures[number].set_result(None)
    for one in held:
        assert status(rest(one)) == 202
        one.close()


def test_a_burst_of_more_connections_than_allowed_is_answered_completely(own: Serve) -> None:
    server = own(handler, connections=16)
    burst = []
    for _ in range(100):
        burst.append(connect(server))
        burst[-1].sendall(get("/right"))

    for one in burst:
        assert status(rest(one)) == 202
        one.close()


def test_accepted_but_idle_connections_are_evicted_last(own: Serve) -> None:
    server = own(handler, connections=8)
    held = [connect(server) for _ in range(8)]
    for one in held:
        one.sendall(GET % b"right")
        assert b" 202 " in one.recv(1000)

    assert status(talk(server, get("/right"), close=False)) == 202
    with contextlib.suppress(ConnectionResetError):
        assert held[0].recv(1) == b""
    held[-1].sendall(GET % b"right")
    assert b" 202 " in held[-1].recv(1000)
    for one in held:
        one.close()


def test_reaching_the_limit_of_connections_is_logged_once(own: Serve) -> None:
    with capture_logs() as lines:
        server = own(handler, connections=8)
        held = [connect(server) for _ in range(40)]
        assert status(talk(server, get("/right"), close=False)) == 202
        for one in held:
            one.close()

    told = [line for line in lines if line["event"].startswith("all connections are in use")]
    assert [line["connections"] for line in told] == [8]


def test_other_senders_are_served_during_a_flood_on_waitress(waitress: Serve) -> None:
    server = waitress(handler, connections=8)
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(30):
            one = stack.enter_context(connect(server))
            one.sendall(b"GET /right HTTP/1.1\r\nHost: x\r\nX: ")
            held.append(one)
        assert status(talk(server, get("/right"), close=False)) == 202
        with contextlib.suppress(ConnectionResetError):  # the first ones were closed
            assert not held[0].recv(1)


def test_an_ipv6_network_counts_as_one_address() -> None:
    assert network("2001:db8::1") == network("2001:db8::2:3") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") != network("192.0.2.2")
    assert network("fe80::1%eth0") == network("fe80::2%eth0")
    assert network("no address") == "no address"
