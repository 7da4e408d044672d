"""waitress as we run it: corrected, bounded, and honest when it refuses."""

import gc
import importlib.metadata
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from waitress import wasyncore

from router.errors import StartError
from router.intake import server as module
from router.intake.connection import Channel
from router.intake.receiver import Receiver
from router.intake.resource import HEADERS_KEY, intake_app
from router.intake.server import Server
from router.model import Appended
from router.store.sqlite import SqliteStore

Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Run a WSGI application."""
    servers: list[Server] = []

    def run(app: Callable[..., Any], **given: Any) -> Server:
        servers.append(Server(app, "127.0.0.1", 0, **given))
        servers[-1].start()
        return servers[-1]

    yield run
    for server in servers:
        server.stop(5)


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answers with what arrived."""
    body = environ["wsgi.input"].read()
    answer = json.dumps({"length": len(body), "headers": environ[HEADERS_KEY], "path": environ["PATH_INFO"]}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer]


def talk(server: Server, *parts: bytes, close: bool = True) -> bytes:
    """Send raw bytes and read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        for part in parts:
            connection.sendall(part)
        if close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


def test_headers_arrive_as_they_were_sent(serve: Serve) -> None:
    answer = talk(
        serve(echo),
        b"POST /a HTTP/1.1\r\nHost: x\r\nX-Many: 1\r\nx-MANY: 2, 3\r\nX_Under: no\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\n{}",
    )

    headers = json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]
    assert headers[:3] == [["Host", "x"], ["X-Many", "1"], ["x-MANY", "2, 3"]]
    assert "X_Under" not in str(headers)


def test_a_body_up_to_the_limit_is_taken_and_one_byte_more_is_not(serve: Serve) -> None:
    server = serve(echo, max_body=1000)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    assert b'"length": 1000' in talk(server, head % 1000, b"x" * 1000)
    assert b" 413 " in talk(server, head % 1001)
    server.max_body = 2000
    assert b'"length": 2000' in talk(server, head % 2000, b"x" * 2000)


def test_a_chunked_body_is_bounded_as_well(serve: Serve) -> None:
    server = serve(echo, max_body=1000)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"

    assert b'"length": 500' in talk(server, head, chunk * 5, b"0\r\n\r\n")
    assert b" 413 " in talk(server, head, chunk * 11)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header hush\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n X-Fold: hush\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"hush" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: hush\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n" + b"X: 1\r\n" * 99 + b"\r\n", 200),
        (b"GET /%ff%00%zz/../?" + b"a" * 5000 + b" HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
        (b"GET //a//b HTTP/1.0\r\n\r\n", 200),
        (b"\r\n\r\nGET / HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_what_the_server_itself_refuses_is_a_problem_that_repeats_nothing(
    serve: Serve, request_: bytes, status: int
) -> None:
    answer = talk(serve(echo), request_)

    assert answer.startswith(b"HTTP/1."), answer
    assert int(answer.split()[1]) == status
    assert b"waitress" not in answer.lower()
    if status >= 400:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        assert json.loads(body)["status"] == status
        assert b"hush" not in answer


def test_a_worker_at_work_does_not_make_the_loop_spin() -> None:
    channel = Channel.__new__(Channel)
    channel.total_outbufs_len = 100
    channel.will_close = channel.close_when_flushed = False

    channel.requests = [object()]
    assert not channel.writable()
    channel.requests = []
    assert channel.writable()
    channel.requests = [object()]
    channel.will_close = True
    assert channel.writable()


def test_while_requests_wait_for_the_disk_the_loop_is_idle(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    release, waiting = threading.Event(), threading.Semaphore(0)

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        waiting.release()
        release.wait(10)
        return echo(environ, start_response)

    server = serve(slow, threads=8)
    senders = [
        threading.Thread(
            target=talk,
            args=(server, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            kwargs={"close": False},
        )
        for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for _ in senders:
        assert waiting.acquire(timeout=10)
    polls: list[float] = []
    real = wasyncore.poll2

    def counted(*arguments: Any) -> None:
        polls.append(1)
        real(*arguments)

    monkeypatch.setattr(wasyncore, "poll2", counted)
    threading.Event().wait(0.6)  # a stretch of time is what is measured here
    count = len(polls)
    release.set()
    for sender in senders:
        sender.join(10)

    assert count < 50, count


@pytest.mark.parametrize(
    "beginning",
    [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"POST / HTTP/1.1\r\nX: "],
    ids=["body", "headers"],
)
def test_a_drip_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.1)
    server = serve(echo, request_seconds=0.2)
    server._server.adj.cleanup_interval = 0.1
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(beginning)
        sent = 0
        with pytest.raises(OSError, match="Connection reset|Broken pipe"):
            while True:
                connection.sendall(b"x")
                sent += 1
                threading.Event().wait(0.01)
                assert sent < 2000


def test_a_refusal_reaches_a_sender_that_is_still_sending(serve: Serve) -> None:
    server = serve(echo, max_body=1000)
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        connection.sendall(b"x" * 5_000_000)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part

    assert b" 413 " in answer


def test_a_stop_answers_what_has_begun_and_closes_what_is_idle(serve: Serve) -> None:
    began, release = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        began.set()
        release.wait(10)
        return echo(environ, start_response)

    server = serve(slow)
    answers: list[bytes] = []
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    sender = threading.Thread(target=lambda: answers.append(talk(server, request, close=False)))
    idle = socket.create_connection(("127.0.0.1", server.port), 10)
    sender.start()
    assert began.wait(10)
    stopper = threading.Thread(target=server.stop, args=(10,))
    stopper.start()
    assert idle.recv(1) == b""
    idle.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), 10)
    release.set()
    stopper.join(10)
    sender.join(10)

    assert b'"length": 2' in answers[0]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("waitress")]


def test_a_stop_is_bounded(serve: Serve) -> None:
    release = threading.Event()

    def hang(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        release.wait(10)
        return echo(environ, start_response)

    server = serve(hang)
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.stop(0.1)
        try:
            assert connection.recv(10) == b""
        except ConnectionResetError:
            pass
    release.set()


def test_an_address_that_can_not_be_had_is_a_start_error(serve: Serve) -> None:
    server = serve(echo)

    for host, port in (("127.0.0.1", server.port), ("192.0.2.77", 8080), ("no such host", 8080)):
        with pytest.raises(StartError, match="can't listen on"):
            Server(echo, host, port)


def test_another_waitress_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "3.0.3")

    with pytest.raises(StartError, match=r"needs waitress 3\.0\.2, found 3\.0\.3"):
        Server(echo, "127.0.0.1", 0)


def test_many_connections_beyond_descriptor_1023_are_served(serve: Serve) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 3000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4000), hard))
    server = serve(echo)
    pad = [socket.socket() for _ in range(1100)]
    try:
        assert b'"length": 0' in talk(server, b"GET / HTTP/1.0\r\n\r\n")
    finally:
        for sock in pad:
            sock.close()


DEFERRED = """
sources: {open: {verify: none}}
rules: [{name: all, match: {$.n: {exists: true}}, actions: [append: never.jsonl]}]
"""


@pytest.fixture
def deferring(receiver: Callable[..., Receiver], serve: Serve) -> Server:
    """A server whose answers wait for the store."""
    return serve(intake_app(receiver(DEFERRED)), defers=True)


def _post(number: int, *headers: bytes) -> bytes:
    body = b'{"n": %d}' % number
    head = [b"POST /hooks/open HTTP/1.1", b"Host: x", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


def test_an_answer_that_waits_for_the_commit_holds_no_thread(deferring: Server) -> None:
    before = threading.active_count()

    answers = [talk(deferring, _post(number, b"Connection: close")) for number in range(20)]

    assert all(answer.startswith(b"HTTP/1.1 202 Accepted\r\n") for answer in answers)
    assert len({json.loads(answer.partition(b"\r\n\r\n")[2])["id"] for answer in answers}) == 20
    assert threading.active_count() <= before


def test_requests_in_one_breath_are_answered_in_order(deferring: Server, store: SqliteStore) -> None:
    last = _post(9, b"Connection: close")

    answer = talk(deferring, b"".join(map(_post, range(9))) + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + last)

    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answer)  # a body ends without a line break
    assert statuses == [b"202"] * 9 + [b"404"] + [b"202"]
    bodies = [event.body for event in reversed(store.events())]
    assert bodies == [b'{"n": %d}' % number for number in range(10)]


def test_a_sender_that_leaves_before_its_answer_hurts_nobody(deferring: Server, store: SqliteStore) -> None:
    for number in range(30):
        with socket.create_connection(("127.0.0.1", deferring.port), 10) as connection:
            connection.sendall(_post(number))

    assert b" 202 " in talk(deferring, _post(30, b"Connection: close"))
    assert len(store.events()) >= 1


def test_an_answer_that_takes_too_long_is_a_503(deferring: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    held: list[Future[Appended]] = []

    def append(*_: Any, **__: Any) -> Future[Appended]:
        held.append(Future())
        return held[-1]

    monkeypatch.setattr(SqliteStore, "append", append)

    with socket.create_connection(("127.0.0.1", deferring.port), 10) as connection:
        connection.sendall(_post(1))
        assert connection.recv(10_000).startswith(b"HTTP/1.1 503 ")
        connection.sendall(_post(2))
        while len(held) < 2:
            threading.Event().wait(0.005)
        held[0].set_result(Appended("late"))  # of the request that was answered already
        held[1].set_result(Appended("in time"))
        assert b'"id":"' in connection.recv(10_000)


def test_a_large_body_is_judged_beside_the_loop(deferring: Server) -> None:
    body = b'{"n": "' + b"x" * module.INLINE_BYTES + b'"}'
    head = b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)

    assert b" 202 " in talk(deferring, head + body)


def test_an_answered_request_leaves_no_garbage(deferring: Server) -> None:
    with socket.create_connection(("127.0.0.1", deferring.port), 10) as connection:
        collected = []
        for _ in range(2):  # the first round fills caches
            gc.collect()
            gc.disable()
            for number in range(50):
                connection.sendall(_post(number))
                assert b" 202 " in connection.recv(10_000)
            collected.append(gc.collect())
            gc.enable()

    assert collected[1] < 50
