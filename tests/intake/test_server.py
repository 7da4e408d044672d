"""waitress as we run it: corrected, bounded, and honest when it refuses."""

import contextlib
import gc
import importlib.metadata
import json
import os
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from router import families as f
from router.errors import StartError
from router.intake import server as module
from router.intake.connection import Channel
from router.intake.receiver import Receiver
from router.intake.resource import intake_app
from router.intake.server import Server
from router.model import Appended, Reply
from router.store.sqlite import SqliteStore
from tests.intake.talking import echo, rest, talk

Serve = Callable[..., Server]


def test_headers_arrive_as_they_were_sent(serve: Serve) -> None:
    answer = talk(
        serve(echo),
        b"POST /a HTTP/1.1\r\nHost: x\r\nX-Many: 1\r\nx-MANY: 2, 3\r\nX_Under: no\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\n{}",
    )

    headers = json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]
    assert headers[:3] == [["Host", "x"], ["X-Many", "1"], ["x-MANY", "2, 3"]]
    assert "X_Under" not in str(headers)


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
    turns: list[float] = []
    real = server._server.turn

    def counted(timeout: float) -> None:
        turns.append(timeout)
        real(timeout)

    monkeypatch.setattr(server._server, "turn", counted)
    threading.Event().wait(0.6)  # a stretch of time is what is measured here
    count = len(turns)
    release.set()
    for sender in senders:
        sender.join(10)

    assert 0 < count < 50, count


def test_who_holds_all_connections_keeps_nobody_out_where_room_is_made(serve: Serve) -> None:
    server = serve(echo, connections=8, makes_room=True)
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(50):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
            held.append(connection)
            assert talk(server, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        # The first ones are gone, the last one is not.
        with contextlib.suppress(ConnectionResetError):
            assert not held[0].recv(1)
        held[-1].sendall(b"y\r\n\r\n")
        assert held[-1].recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    "beginning",
    [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"POST / HTTP/1.1\r\nX: ", b"P"],
    ids=["body", "headers", "first line"],
)
def test_a_drip_is_answered_408_and_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.2)
    server = serve(echo, request_seconds=0.2)
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(beginning)
        sent = 0
        with pytest.raises(OSError, match="Connection reset|Broken pipe"):
            while True:
                connection.sendall(b"x")
                sent += 1
                threading.Event().wait(0.01)
                assert sent < 2000
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(beginning)
        answer = rest(connection)

    assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.0 408 "))
    assert b"application/problem+json" in answer


def test_a_refusal_reaches_a_sender_that_is_still_sending(serve: Serve) -> None:
    server = serve(echo, body_limit=lambda _: 1000)
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
    made = receiver(DEFERRED)
    return serve(intake_app(made), judge=made.judge, body_limit=made.body_limit)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list["Future[Appended]"]:
    """Appends that are committed when the test says so."""
    futures: list[Future[Appended]] = []

    def append(*_: Any, **__: Any) -> Future[Appended]:
        futures.append(Future())
        futures[-1].set_running_or_notify_cancel()  # what is being committed can't be taken back
        return futures[-1]

    monkeypatch.setattr(SqliteStore, "append", append)
    return futures


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


def test_an_event_is_counted_whether_its_sender_waits_for_the_answer_or_not(
    receiver: Callable[..., Receiver],
    serve: Serve,
    held: list["Future[Appended]"],
    eventually: Callable[..., Any],
) -> None:
    made = receiver(DEFERRED)
    server = serve(intake_app(made), judge=made.judge, body_limit=made.body_limit)
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(_post(1))
        eventually(lambda: held)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its close is a reset
    eventually(lambda: server.connections()[0] == 0)

    held[0].set_result(Appended("stored"))

    eventually(lambda: made.metrics.counted().counts[f.EVENTS] == {("open",): 1})


def test_what_the_server_answers_by_itself_is_counted_under_the_source_that_was_meant(
    receiver: Callable[..., Receiver], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = receiver(DEFERRED)
    limits = {"body_limit": made.body_limit, "answered": made.answered}
    server = serve(intake_app(made), judge=made.judge, **limits)

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    talk(server, b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n")
    talk(server, b"POST /hooks/elsewhere HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n")
    talk(server, b"nonsense\r\n\r\n")
    monkeypatch.setattr(SqliteStore, "append", fail)
    large = b"x" * (module.INLINE_BYTES + 1)
    assert b" 500 " in talk(server, _post(1, b"Connection: close"))
    head = b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(large)
    assert b" 500 " in talk(server, head + large)

    assert made.metrics.counted().counts[f.REQUESTS] == {
        ("open", "413"): 1,
        ("", "413"): 1,
        ("", "400"): 1,
        ("open", "500"): 2,
    }


def test_an_answer_that_takes_too_long_is_a_503(
    deferring: Server, held: list["Future[Appended]"], monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", deferring.port), 10) as connection:
        connection.sendall(_post(1))
        assert connection.recv(10_000).startswith(b"HTTP/1.1 503 ")
        connection.sendall(_post(2))
        eventually(lambda: len(held) == 2)
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


def test_who_sends_many_in_one_breath_takes_turns_with_the_others(serve: Serve) -> None:
    began, go, served = threading.Event(), threading.Event(), list[str]()

    def record(_: str, path: str, *__: Any) -> Reply:
        served.append(path)
        began.set()
        go.wait(10)
        return Reply(200, b"")

    server = serve(echo, judge=record)
    many, one = (socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(2))
    with many, one:
        many.sendall(b"GET /many HTTP/1.1\r\n\r\n" * 200)
        assert began.wait(10)
        one.sendall(b"GET /one HTTP/1.1\r\n\r\n")
        go.set()
        assert b" 200 " in one.recv(1000)

    assert served.index("/one") < 5


def test_who_does_not_take_its_answers_gets_no_more_and_holds_up_nobody(serve: Serve) -> None:
    served: list[str] = []

    def large(_: str, path: str, *__: Any) -> Reply:
        served.append(path)
        return Reply(200, b"x" * 8_000_000)

    server = serve(echo, judge=large)
    with socket.create_connection(("127.0.0.1", server.port), 10) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\n\r\n" * 9 + b"GET /slow HTTP/1.0\r\n\r\n")
        assert len(talk(server, b"GET /quick HTTP/1.0\r\n\r\n")) > 8_000_000
        assert served.count("/slow") == 1
        assert len(rest(slow)) > 80_000_000

    assert served.count("/slow") == 10


def test_a_fault_ends_one_connection_at_the_most(
    deferring: Server, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    turns: list[int] = []

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    def counted(_: Any) -> None:
        turns.append(1)
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "append", broken)
        assert b"problem+json" in talk(deferring, _post(1, b"Connection: close"))
        patch.undo()
        patch.setattr("router.intake.connection.ReplyTask.service", broken)
        assert b" 500 " in talk(deferring, _post(1, b"Connection: close"))
        patch.setattr(Channel, "service", broken)
        assert talk(deferring, _post(2)) == b""
        patch.setattr(module, "_REST_SECONDS", 0.01)
        patch.setattr(module._Listener, "_give_up", counted)
        eventually(lambda: len(turns) > 2)

    assert b" 202 " in talk(deferring, _post(4, b"Connection: close"))


def test_at_a_stop_the_last_answer_says_that_it_is_the_last(
    deferring: Server, held: list["Future[Appended]"], eventually: Callable[..., Any]
) -> None:
    with socket.create_connection(("127.0.0.1", deferring.port), 10) as connection:
        connection.sendall(_post(1) + _post(2))
        eventually(lambda: len(held) == 1)
        stopper = threading.Thread(target=deferring.stop, args=(10,))
        stopper.start()
        eventually(lambda: deferring._server.stopping)
        held[0].set_result(Appended("first"))
        eventually(lambda: len(held) == 2)
        held[1].set_result(Appended("second"))
        first, _, second = rest(connection).partition(b'"}')
    stopper.join(10)

    assert b" 202 " in first
    assert b"Connection: close" not in first
    assert b" 202 " in second
    assert b"Connection: close" in second


def test_who_still_waits_at_the_end_of_a_stop_is_told_so(
    deferring: Server, held: list["Future[Appended]"], eventually: Callable[..., Any]
) -> None:
    with socket.create_connection(("127.0.0.1", deferring.port), 10) as connection:
        connection.sendall(_post(1))
        eventually(lambda: held)
        deferring.stop(0.1)
        answer = rest(connection)

    assert b" 503 " in answer
    assert b"Retry-After: 5" in answer


def test_a_commit_after_the_stop_writes_into_nobodys_file(
    deferring: Server, held: list["Future[Appended]"], eventually: Callable[..., Any], tmp_path: Path
) -> None:
    with socket.create_connection(("127.0.0.1", deferring.port), 10) as connection:
        connection.sendall(_post(1))
        eventually(lambda: held)
        deferring.stop(0)
    files = [(tmp_path / f"file-{number}").open("wb") for number in range(50)]  # they get the freed descriptors

    held[0].set_result(Appended("late"))

    for file in files:
        file.close()
    assert not [path for path in tmp_path.glob("file-*") if path.stat().st_size]


def test_connections_beyond_the_limit_wait_until_the_silent_are_cut(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.05)
    server = serve(echo, connections=3)
    silent = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(9)]
    try:
        eventually(lambda: len(server._server.active_channels) == 3)
        waiting = threading.Thread(target=talk, args=(server, b"GET / HTTP/1.0\r\n\r\n"))
        waiting.start()
        waiting.join(0.2)  # a stretch of time in which nothing may happen
        assert waiting.is_alive()
        assert len(server._server.active_channels) == 3
        monkeypatch.setattr(module, "CROWDED_IDLE_SECONDS", 0)
        waiting.join(10)
        assert not waiting.is_alive()
    finally:
        for sock in silent:
            sock.close()


def test_a_server_without_descriptors_rests_and_then_goes_on(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REST_SECONDS", 0.2)
    server = serve(echo)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as connection:
        connection.settimeout(10)
        taken: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (connection.fileno() + 20, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                while True:
                    taken.append(os.dup(connection.fileno()))
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            before = time.process_time()
            connection.settimeout(0.5)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            assert time.process_time() - before < 0.3
        finally:
            for number in taken:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connection.settimeout(10)

        assert b" 200 " in rest(connection)


@pytest.mark.parametrize(
    ("line", "headers", "reply", "expected", "absent"),
    [
        (
            b"GET / HTTP/1.1",
            b"Connection: close",
            Reply(200, b"yes"),
            [b"Content-Length: 3", b"Connection: close"],
            b"X-",
        ),
        (
            b"GET / HTTP/1.0",
            b"X: 1",
            Reply(200, b"yes"),
            [b"HTTP/1.0 200 OK", b"Connection: close", b"\r\n\r\nyes"],
            b"X-",
        ),
        (
            b"HEAD / HTTP/1.0",
            b"X: 1",
            Reply(405, b"no", None, (("Allow", "POST"),)),
            [b"Allow: POST", b": 2\r\n"],
            b"no",
        ),
        (b"GET / HTTP/1.0", b"X: 1", Reply(204, b""), [b"204 No Content"], b"Content-Length"),
        (b"GET / HTTP/1.0", b"X: 1", Reply(299, b"", None), [b"299 Status", b"Content-Length: 0"], b"Content-Type"),
    ],
)
def test_an_answer_is_plain_http(
    serve: Serve, line: bytes, headers: bytes, reply: Reply, expected: list[bytes], absent: bytes
) -> None:
    answer = talk(serve(echo, judge=lambda *_: reply), line + b"\r\n" + headers + b"\r\n\r\n", close=False)

    assert b"\r\nDate: " in answer
    assert all(part in answer for part in expected), answer
    assert absent not in answer


def test_a_connection_is_kept_where_http_says_so(serve: Serve) -> None:
    server = serve(echo, judge=lambda *_: Reply(200, b"yes"))
    kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

    answer = talk(server, kept * 2 + b"GET / HTTP/1.1\r\n\r\n" * 2 + b"GET / HTTP/1.0\r\n\r\n", close=False)

    assert answer.count(b"\r\n\r\nyes") == 5
    assert answer.count(b"Connection: Keep-Alive") == 2
    assert answer.count(b"Connection: close") == 1


def test_small_requests_pass_large_ones_that_take_long(serve: Serve) -> None:
    began, release = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        began.set()
        release.wait(10)
        return echo(environ, start_response)

    server = serve(slow, judge=lambda *_: Reply(200, b"yes"), threads=1)
    size = module.INLINE_BYTES + 1
    with socket.create_connection(("127.0.0.1", server.port), 10) as large:
        large.sendall(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        assert began.wait(10)
        assert talk(server, b"GET / HTTP/1.0\r\n\r\n").endswith(b"yes")
        release.set()
        assert b'"length": %d' % size in rest(large)
