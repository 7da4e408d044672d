"""The promises of every server: limits, fairness between senders, and correct refusals."""

import contextlib
import json
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.domain.errors import StartError
from router.domain.reply import Reply
from router.http import connection, listener
from router.http.contract import Pending, Request
from router.http.limits import INLINE_BYTES, SLICE_BYTES
from router.http.server import Server
from tests.conftest import until
from tests.http.conftest import on_waitress
from tests.http.descriptors import no_descriptors
from tests.http.talking import Recorder, connect, echo, get, rest, status, talk

Serve = Callable[..., Any]
Wait = Callable[[Callable[[], Any]], Any]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"POST /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (INLINE_BYTES + 1)
LARGE += b"x" * (INLINE_BYTES + 1)


def yes(_: Request) -> Reply:
    """A handler that accepts everything."""
    return Reply(200, b"yes")


class Gate:
    """A handler that blocks until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self, request: Request) -> Reply:
        self.entered.release()
        self.open.wait(60)
        return echo(request)


# Requests and replies.


def test_headers_reach_the_handler_unchanged(own: Serve) -> None:
    headers = "X-Many: 1", "x-MANY: 2, 3", "X_Under: no", "X-Latin: \xe9", "X-Blank:"

    answer = talk(own(echo), get("/a?b=%20", *headers), close=False)

    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert found["headers"] == [
        ["Host", "x"], ["Connection", "close"], ["X-Many", "1"], ["x-MANY", "2, 3"], ["X-Latin", "\xe9"], ["X-Blank", ""],
    ]  # fmt: skip
    assert (found["path"], found["query"]) == ("/a", "b=%20")


def test_headers_with_underscores_are_dropped(serve: Serve) -> None:
    answer = talk(serve(echo), get("/", "X_Id: forged", "X-Id: real"), close=False)

    assert b"real" in answer
    assert b"forged" not in answer


@pytest.mark.parametrize(
    ("line", "headers", "reply", "expected", "absent"),
    [
        (b"GET / HTTP/1.1", b"Connection: close", Reply(200, b"yes"), [b"Content-Length: 3", b"Connection: close"], b"X-"),
        (b"GET / HTTP/1.0", b"X: 1", Reply(200, b"yes"), [b"HTTP/1.0 200 OK", b"Connection: close", b"\r\n\r\nyes"], b"X-"),
        (b"HEAD / HTTP/1.0", b"X: 1", Reply(405, b"no", None, (("Allow", "POST"),)), [b"Allow: POST", b": 2\r\n"], b"no"),
        (b"GET / HTTP/1.0", b"X: 1", Reply(204, b""), [b"204 No Content"], b"Content-Length"),
        (b"GET / HTTP/1.0", b"X: 1", Reply(299, b"", None), [b"299 Status", b"Content-Length: 0"], b"Content-Type"),
    ],
)  # fmt: skip
def test_a_reply_is_valid_http(
    serve: Serve, line: bytes, headers: bytes, reply: Reply, expected: list[bytes], absent: bytes
) -> None:
    answer = talk(serve(lambda _: reply), line + b"\r\nHost: x\r\n" + headers + b"\r\n\r\n", close=False)

    assert b"\r\nDate: " in answer
    assert all(part in answer for part in expected), answer
    assert absent not in answer
    assert b"waitress" not in answer.lower()


def test_a_connection_is_kept_open_as_http_requires(serve: Serve) -> None:
    kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

    answer = talk(serve(yes), kept * 2 + GET * 2 + b"GET / HTTP/1.0\r\n\r\n", close=False)

    assert answer.count(b"\r\n\r\nyes") == 5
    assert answer.lower().count(b"connection: keep-alive") == 2
    assert answer.count(b"Connection: close") == 1


def test_bytes_after_the_last_request_are_ignored(serve: Serve) -> None:
    seen = Recorder()
    server = serve(seen)

    # The second request may reach a closed connection. Then its sender gets a reset.
    with contextlib.suppress(ConnectionResetError):
        talk(server, get("/first"), get("/second"), close=False)

    assert seen.paths == ["/first"]


def test_an_exception_in_the_handler_gives_500_and_is_counted(serve: Serve) -> None:
    answered: list[tuple[str, int]] = []

    def fail(_: Request) -> Reply:
        raise ZeroDivisionError

    server = serve(fail, answered=lambda path, status: answered.append((path, status)))
    for request in (get("/a"), LARGE):
        answer = talk(server, request, close=False)
        assert status(answer) == 500
        assert b"application/problem+json" in answer
    assert answered == [("/a", 500), ("/large", 500)]


def test_an_invalid_reply_becomes_a_500(own: Serve) -> None:
    server = own(lambda _: Reply(200, b"", "text/plain", (("X", "\u2028"),)))

    assert status(talk(server, get(), close=False)) == 500


def test_an_exception_in_the_server_closes_at_most_one_connection(own: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    sweeps: list[int] = []

    def broken(*_: Any, **__: Any) -> Any:
        sweeps.append(1)
        raise RuntimeError("a fault of ours")

    server = own(yes)
    with monkeypatch.context() as patch, capture_logs() as lines:
        patch.setattr(connection.Connection, "_take", broken)
        assert talk(server, get(), close=False) == b""
        patch.setattr("router.http.dispatch.Dispatch.answer_old", broken)
        sweeps.clear()
        until(lambda: len(sweeps) > 2)

    assert talk(server, get(), close=False).endswith(b"yes")
    assert {line["event"] for line in lines} == {
        "connection failed by a fault of ours",
        "the loop of a listener failed once; it continues",
    }


# Fair turns between senders.


def test_a_sender_of_many_requests_does_not_delay_others(plain: Serve) -> None:
    began, go, served = threading.Event(), threading.Event(), list[str]()

    def record(request: Request) -> Reply:
        served.append(request.path)
        began.set()
        go.wait(60)
        return Reply(200, b"")

    server = plain(record)
    many, one = (connect(server) for _ in range(2))
    with many, one:
        many.sendall(b"GET /many HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        assert began.wait(60)
        one.sendall(b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
        go.set()
        assert b" 200 " in one.recv(1000)

    assert served.index("/one") < 5


def test_a_flood_of_pipelined_requests_is_answered_in_order_and_in_bounded_memory(serve: Serve) -> None:
    server = serve(lambda request: Reply(200, b"<%s>" % request.path.encode()))
    requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(5000)]
    with connect(server) as many:
        sender = threading.Thread(target=many.sendall, args=(b"".join(requests) + get("/last"),))
        sender.start()
        answer = rest(many)
        sender.join(60)

    found = [int(part.partition(b">")[0]) for part in answer.split(b"</")[1:-1]]
    assert found == list(range(5000))
    assert b"</last>" in answer


def test_a_sender_that_reads_no_replies_delays_no_other(serve: Serve) -> None:
    served: list[str] = []

    def large(request: Request) -> Reply:
        served.append(request.path)
        return Reply(200, b"x" * 8_000_000)

    server = serve(large)
    with connect(server) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * 9 + b"GET /slow HTTP/1.0\r\n\r\n")
        assert len(talk(server, get("/quick"), close=False)) > 8_000_000
        assert served.count("/slow") <= 3  # waitress begins one request before it checks
        assert len(rest(slow)) > 80_000_000

    assert served.count("/slow") == 10


def test_a_sender_that_reads_no_replies_is_disconnected(
    own: Serve, monkeypatch: pytest.MonkeyPatch, eventually: Wait
) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    served: list[Request] = []

    def large(request: Request) -> Reply:
        served.append(request)
        return Reply(200, b"x" * 8_000_000)

    server = own(large)
    with connect(server) as slow:
        for request in (GET, get()):
            slow.sendall(request)
        eventually(lambda: served)
        monkeypatch.setattr(connection, "IDLE_SECONDS", 0.3)
        eventually(lambda: server.connections()[0] == 0)


def test_small_requests_overtake_slow_large_ones(own: Serve) -> None:
    gate = Gate()
    server = own(lambda request: gate(request) if request.path == "/large" else yes(request), threads=1)
    with connect(server) as large:
        large.sendall(LARGE)
        assert gate.entered.acquire(timeout=60)
        assert talk(server, get(), close=False).endswith(b"yes")
        gate.open.set()
        assert b'"length": %d' % (INLINE_BYTES + 1) in rest(large)


def _holds(queue: Any, count: int) -> bool:
    return bool(queue.qsize() == count)


def test_a_large_request_is_dropped_when_its_sender_left_before_its_turn(own: Serve) -> None:
    gate = Gate()
    server = own(gate, threads=1)
    with connect(server) as first:
        first.sendall(LARGE)
        assert gate.entered.acquire(timeout=60)
        for number in range(3):
            with connect(server) as one:
                one.sendall(LARGE)
                until(partial(_holds, server._workers._queue, number + 1))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            until(lambda: server.connections()[0] == 1)
        gate.open.set()
        assert status(rest(first)) == 200
    assert status(talk(server, LARGE, close=False)) == 200

    assert gate.entered.acquire(timeout=60)
    assert not gate.entered.acquire(blocking=False)


def test_waiting_requests_use_little_cpu_time(serve: Serve) -> None:
    gate = Gate()
    server = serve(gate, threads=8)
    senders = [threading.Thread(target=talk, args=(server, LARGE), kwargs={"close": False}) for _ in range(8)]
    for sender in senders:
        sender.start()
    for _ in senders:
        assert gate.entered.acquire(timeout=60)
    before = time.process_time()
    threading.Event().wait(0.6)  # this measures CPU time over a period
    took = time.process_time() - before
    gate.open.set()
    for sender in senders:
        sender.join(60)

    assert took < 0.2


# Pending replies.


def test_a_pending_reply_holds_no_thread_and_wakes_the_loop(own: Serve) -> None:
    futures: list[Future[None]] = []

    def later(request: Request) -> Pending:
        futures.append(Future())
        return Pending(futures[-1], lambda _: echo(request))

    server = own(later)
    before = threading.active_count()
    connections = [connect(server) for _ in range(50)]
    for number, one in enumerate(connections):
        one.sendall(get(f"/{number}"))
    until(lambda: len(futures) == 50)
    assert threading.active_count() <= before
    for future in reversed(futures):
        future.set_result(None)
    for number, one in enumerate(connections):
        assert b'"path": "/%d"' % number in rest(one)
        one.close()


def test_a_pending_reply_is_sent_unfinished_after_its_time_limit(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)

    def later(_: Request) -> Pending:
        future: Future[None] = Future()

        def reply(timeout: float) -> Reply:
            try:
                future.result(timeout)
            except TimeoutError:
                return Reply(503, b"late")
            return Reply(200, b"")

        return Pending(future, reply)

    assert status(talk(serve(later, answer_seconds=0.1), get(), close=False)) == 503


def test_a_connection_is_usable_after_a_pending_reply(own: Serve) -> None:
    futures: list[Future[None]] = []

    def later(request: Request) -> Pending:
        futures.append(Future())
        return Pending(futures[-1], lambda _: echo(request))

    server = own(later)
    large = b"GET /%d HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (SLICE_BYTES * 2 // 3) + b"\r\n\r\n"
    with connect(server) as one:
        one.sendall(large % 0 + large % 1)  # the second request waits until the first one is answered
        until(lambda: len(futures) == 1)
        futures[0].set_result(None)
        until(lambda: len(futures) == 2)
        futures[1].set_result(None)
        received = b""
        while b'"path": "/1"' not in received:
            received += one.recv(65536)

        one.sendall(get("/2"))
        until(lambda: len(futures) == 3)
        futures[2].set_result(None)
        assert b'"path": "/2"' in rest(one)


# Deadlines.


@pytest.mark.parametrize(
    "beginning",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nX: ",
        b"P",
        b"\r\n",
    ],
    ids=["body", "chunks", "headers", "first line", "blank lines"],
)
def test_a_request_that_takes_too_long_gets_408(own: Serve, monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    server = own(echo, request_seconds=0.2)
    with connect(server) as one:
        one.sendall(beginning)
        answer = rest(one)

    assert status(answer) == 408
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("drip", [b"x", b"\r\n"])
def test_a_sender_that_sends_byte_by_byte_is_disconnected(
    own: Serve, monkeypatch: pytest.MonkeyPatch, drip: bytes
) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.2)
    server = own(echo, request_seconds=0.2)
    with connect(server) as one:
        one.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" if drip == b"x" else b"\r\n")
        sent = 0
        with pytest.raises(OSError, match="Connection reset|Broken pipe"):
            while True:
                one.sendall(drip)
                sent += 1
                threading.Event().wait(0.01)
                assert sent < 2000


def test_headers_have_a_deadline_of_their_own(own: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.1)
    server = own(echo, request_seconds=100)
    with connect(server) as one:
        one.sendall(b"GET / HT")
        assert status(rest(one)) == 408
    with connect(server) as one:
        monkeypatch.setattr(connection, "HEADER_SECONDS", 60.0)
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        one.sendall(head)
        assert b" 100 " in one.recv(1000)  # so that the headers have arrived
        monkeypatch.setattr(connection, "HEADER_SECONDS", 0.1)
        threading.Event().wait(0.3)
        one.sendall(b"{}")
        assert status(rest(one)) == 200


def test_a_silent_connection_is_closed(own: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.2)
    server = own(echo)
    with connect(server) as silent:
        assert rest(silent) == b""
    monkeypatch.setattr(connection, "IDLE_SECONDS", 60.0)
    with connect(server) as answered:
        answered.sendall(GET)
        reply = answered.recv(65536)
        monkeypatch.setattr(connection, "IDLE_SECONDS", 0.2)
        assert (reply + rest(answered)).count(b" 200 OK") == 1


def test_a_refusal_reaches_a_sender_that_is_still_sending(own: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 60.0)  # a slow machine needs time for 5 MB
    server = own(echo, body_limit=lambda _: 1000)
    with connect(server) as one:
        one.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        one.sendall(b"x" * 5_000_000)
        one.shutdown(socket.SHUT_WR)
        assert status(rest(one)) == 413


# Many connections.


def test_connections_beyond_descriptor_1023_are_served(serve: Serve) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 3000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4000), hard))
    server = serve(echo)
    pad = [socket.socket() for _ in range(1100)]
    try:
        assert b'"length": 0' in talk(server, get(), close=False)
    finally:
        for sock in pad:
            sock.close()


def test_a_sender_that_disconnects_does_not_affect_the_next(serve: Serve, eventually: Wait) -> None:
    server = serve(yes)
    for request in (b"", b"GET / HT", GET, LARGE, LARGE[:500], GET * 100):
        for reset in (True, False):
            with connect(server) as one:
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.sendall(request)

    assert talk(server, get(), close=False).endswith(b"yes")
    eventually(lambda: server.connections()[0] == 0)


def test_a_server_without_descriptors_pauses_and_then_continues(plain: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REST_SECONDS", 0.2)
    server = plain(yes)
    assert status(talk(server, get(), close=False)) == 200  # the server has opened its files
    until(lambda: server.connections()[0] == 0)
    with socket.socket() as one:
        one.settimeout(60)
        with no_descriptors(one.fileno()):
            one.connect(("127.0.0.1", server.port))
            one.sendall(get())
            before = time.process_time()
            one.settimeout(0.5)
            with pytest.raises(TimeoutError):
                one.recv(1)
            assert time.process_time() - before < 0.3
        one.settimeout(60)

        assert status(rest(one)) == 200


# Starting and stopping.


def test_an_unavailable_address_is_a_start_error(own: Serve) -> None:
    server = own(echo)
    for host, port in (("127.0.0.1", server.port), ("192.0.2.77", 8080), ("no such host", 8080)):
        with pytest.raises(StartError, match="can't listen on"):
            Server(echo, host, port)


def test_a_server_that_never_started_can_be_stopped() -> None:
    for server in (Server(echo, "127.0.0.1", 0), on_waitress(echo)):
        assert server.port
        assert not server.alive
        server.stop(1)


def test_a_stop_answers_running_requests_and_accepts_no_new_ones(serve: Serve) -> None:
    gate = Gate()
    server = serve(gate)
    answers: list[bytes] = []
    sender = threading.Thread(target=lambda: answers.append(talk(server, LARGE, close=False)))
    idle = connect(server)
    sender.start()
    assert gate.entered.acquire(timeout=60)
    stopper = threading.Thread(target=server.stop, args=(10,))
    stopper.start()
    until(lambda: not server.alive)
    threading.Timer(0.3, gate.open.set).start()
    with contextlib.suppress(ConnectionResetError):
        assert idle.recv(1) == b""
    idle.close()
    stopper.join(60)
    sender.join(60)

    assert b'"length": %d' % (INLINE_BYTES + 1) in answers[0]
    with pytest.raises(OSError, match="refused"):
        connect(server)
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith((f"http-{server.port}", "waitress"))
    ]


def test_a_stop_takes_a_limited_time(serve: Serve) -> None:
    gate = Gate()
    server = serve(gate)
    with connect(server) as one:
        one.sendall(LARGE)
        assert gate.entered.acquire(timeout=60)
        began = time.monotonic()
        server.stop(0.1)
        assert time.monotonic() - began < 30  # the handler blocks for a minute
        with contextlib.suppress(ConnectionResetError):
            one.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                assert one.recv(10) == b""
    gate.open.set()


def test_a_stop_waits_for_a_sender_that_is_still_sending(own: Serve) -> None:
    server = own(echo)
    with connect(server) as one:
        one.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        until(lambda: server.connections()[0])
        stopper = threading.Thread(target=server.stop, args=(10,))
        stopper.start()
        threading.Event().wait(0.5)  # longer than the limit of idle connections
        one.sendall(b"}")
        answer = rest(one)
    stopper.join(60)

    assert status(answer) == 200
    assert b"Connection: close" in answer


def test_requests_sent_before_a_stop_are_answered(plain: Serve) -> None:
    gate = Gate()
    server = plain(gate)
    first = connect(server)
    first.sendall(GET)  # small, so that the loop handles it and waits
    assert gate.entered.acquire(timeout=60)
    others = [connect(server) for _ in range(100)]
    for one in others:
        one.sendall(GET)
    stopper = threading.Thread(target=server.stop, args=(10,))
    stopper.start()
    gate.open.set()

    for one in [first, *others]:
        assert status(rest(one)) == 200
        one.close()
    stopper.join(60)


def test_the_loop_answers_a_ping(serve: Serve) -> None:
    server = serve(echo)
    told = threading.Event()
    server.ping(told.set)

    assert told.wait(60)
    assert server.alive
    server.stop(1)
    assert not server.alive
