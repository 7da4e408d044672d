"""The receiver on its server: answers that wait for a commit."""

import gc
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from router.domain.events import Appended
from router.http import listener
from router.http.limits import INLINE_BYTES
from router.http.server import Server
from router.intake.receiver import Receiver
from router.observe import metric_families as f
from router.store.sqlite.store import SqliteStore
from tests.http.talking import rest, talk

Serve = Callable[..., Server]

DEFERRED = """
sources: {open: {verify: none}}
rules: [{name: all, match: {$.n: {exists: true}}, actions: [append: never.jsonl]}]
"""


@pytest.fixture
def deferring(receiver: Callable[..., Receiver], serve: Serve) -> Server:
    """A server whose answers wait for the commit."""
    made = receiver(DEFERRED)
    return serve(made)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list["Future[Appended]"]:
    """Replace the store's appends by ones that the test commits itself."""
    futures: list[Future[Appended]] = []

    def append(*_: Any, **__: Any) -> Future[Appended]:
        futures.append(Future())
        futures[-1].set_running_or_notify_cancel()  # a running commit can't be cancelled
        return futures[-1]

    monkeypatch.setattr(SqliteStore, "append", append)
    return futures


def _post(number: int, *headers: bytes) -> bytes:
    body = b'{"n": %d}' % number
    head = [b"POST /hooks/open HTTP/1.1", b"Host: x", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


def test_a_response_that_waits_for_the_commit_holds_no_thread(deferring: Server) -> None:
    before = threading.active_count()

    answers = [talk(deferring, _post(number, b"Connection: close")) for number in range(20)]

    assert all(answer.startswith(b"HTTP/1.1 202 Accepted\r\n") for answer in answers)
    assert len({json.loads(answer.partition(b"\r\n\r\n")[2])["id"] for answer in answers}) == 20
    assert threading.active_count() <= before


def test_pipelined_requests_are_answered_in_order(deferring: Server, store: SqliteStore) -> None:
    last = _post(9, b"Connection: close")

    answer = talk(deferring, b"".join(map(_post, range(9))) + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + last)

    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answer)  # the body ends without a line break
    assert statuses == [b"202"] * 9 + [b"404"] + [b"202"]
    bodies = [event.body for event in reversed(store.events())]
    assert bodies == [b'{"n": %d}' % number for number in range(10)]


def test_a_sender_that_disconnects_early_does_not_affect_others(deferring: Server, store: SqliteStore) -> None:
    for number in range(30):
        with socket.create_connection(("127.0.0.1", deferring.port), 60) as connection:
            connection.sendall(_post(number))

    assert b" 202 " in talk(deferring, _post(30, b"Connection: close"))
    assert len(store.events()) >= 1


def test_an_event_is_counted_even_when_its_sender_disconnects(
    receiver: Callable[..., Receiver],
    serve: Serve,
    held: list["Future[Appended]"],
    eventually: Callable[..., Any],
) -> None:
    made = receiver(DEFERRED)
    server = serve(made)
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(_post(1))
        eventually(lambda: held)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the close is a reset
    eventually(lambda: server.connections()[0] == 0)

    held[0].set_result(Appended("stored"))

    eventually(lambda: made.metrics.counted().counts[f.EVENTS] == {("open",): 1})


def test_errors_of_the_server_are_counted_under_the_requested_source(
    receiver: Callable[..., Receiver], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = receiver(DEFERRED)
    server = serve(made)

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    talk(server, b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n")
    talk(server, b"POST /hooks/elsewhere HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n")
    talk(server, b"nonsense\r\n\r\n")
    monkeypatch.setattr(SqliteStore, "append", fail)
    large = b"x" * (INLINE_BYTES + 1)
    assert b" 500 " in talk(server, _post(1, b"Connection: close"))
    head = b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(large)
    assert b" 500 " in talk(server, head + large)

    assert made.metrics.counted().counts[f.REQUESTS] == {
        ("open", "413"): 1,
        ("", "413"): 1,
        ("", "400"): 1,
        ("open", "500"): 2,
    }


def test_a_slow_response_gives_503(
    receiver: Callable[..., Receiver],
    serve: Serve,
    held: list["Future[Appended]"],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Any],
) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    deferring = serve(receiver(DEFERRED), answer_seconds=2)
    with socket.create_connection(("127.0.0.1", deferring.port), 60) as connection:
        connection.sendall(_post(1))
        assert connection.recv(10_000).startswith(b"HTTP/1.1 503 ")
        connection.sendall(_post(2))
        eventually(lambda: len(held) == 2)
        held[0].set_result(Appended("late"))  # the commit of the request that was already answered
        held[1].set_result(Appended("in time"))
        assert b'"id":"' in connection.recv(10_000)


def test_a_large_body_is_verified_outside_the_loop(deferring: Server) -> None:
    body = b'{"n": "' + b"x" * INLINE_BYTES + b'"}'
    head = b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)

    assert b" 202 " in talk(deferring, head + body)


def test_an_answered_request_leaves_no_reference_cycles(deferring: Server) -> None:
    with socket.create_connection(("127.0.0.1", deferring.port), 60) as connection:
        collected = []
        for _ in range(2):  # the first request fills caches
            gc.collect()
            gc.disable()
            for number in range(50):
                connection.sendall(_post(number))
                assert b" 202 " in connection.recv(10_000)
            collected.append(gc.collect())
            gc.enable()

    assert collected[1] < 50


def test_the_last_response_at_a_stop_says_connection_close(
    deferring: Server, held: list["Future[Appended]"], eventually: Callable[..., Any]
) -> None:
    with socket.create_connection(("127.0.0.1", deferring.port), 60) as connection:
        connection.sendall(_post(1) + _post(2))
        eventually(lambda: len(held) == 1)
        stopper = threading.Thread(target=deferring.stop, args=(10,))
        stopper.start()
        eventually(lambda: deferring._listener.stopping)
        held[0].set_result(Appended("first"))
        eventually(lambda: len(held) == 2)
        held[1].set_result(Appended("second"))
        first, _, second = rest(connection).partition(b'"}')
    stopper.join(60)

    assert b" 202 " in first
    assert b"Connection: close" not in first
    assert b" 202 " in second
    assert b"Connection: close" in second


def test_requests_still_waiting_at_the_end_of_a_stop_get_a_503(
    deferring: Server, held: list["Future[Appended]"], eventually: Callable[..., Any]
) -> None:
    with socket.create_connection(("127.0.0.1", deferring.port), 60) as connection:
        connection.sendall(_post(1))
        eventually(lambda: held)
        deferring.stop(0.1)
        answer = rest(connection)

    assert b" 503 " in answer
    assert b"Retry-After: 5" in answer


def test_a_commit_after_the_stop_does_not_write_to_a_reused_descriptor(
    deferring: Server, held: list["Future[Appended]"], eventually: Callable[..., Any], tmp_path: Path
) -> None:
    with socket.create_connection(("127.0.0.1", deferring.port), 60) as connection:
        connection.sendall(_post(1))
        eventually(lambda: held)
        deferring.stop(0)
    files = [(tmp_path / f"file-{number}").open("wb") for number in range(50)]  # these files get the freed descriptors

    held[0].set_result(Appended("late"))

    for file in files:
        file.close()
    assert not [path for path in tmp_path.glob("file-*") if path.stat().st_size]


NAMED = """
sources:
  named: {verify: {scheme: bearer, secret: {env: KEY}}, path: "/hooks/{team}/deploy"}
rules: [{name: pay, match: {params.team: [pay, größe, a b]}, actions: [append: never.jsonl]}]
"""


@pytest.mark.parametrize(
    ("path", "status", "matched"),
    [
        (b"/hooks/pay/deploy", 202, ["pay"]),
        (b"/hooks/gr%C3%B6%C3%9Fe/deploy", 202, ["pay"]),
        (b"/hooks/a%20b/deploy", 202, ["pay"]),
        (b"/hooks/web/deploy?team=pay", 202, []),
        (b"/hooks/pay%2Fdeploy/deploy", 404, None),
        (b"/hooks/pay/deploy/", 404, None),
        (b"/hooks//deploy", 404, None),
        (b"/hooks/./deploy", 404, None),
        (b"/hooks/%2e%2e/deploy", 404, None),
        (b"/hooks/%70ay/deploy", 404, None),
        (b"/hooks/pay", 404, None),
    ],
)
def test_a_part_of_the_path_is_one_decoded_segment(
    receiver: Callable[..., Receiver], serve: Serve, path: bytes, status: int, matched: list[str] | None
) -> None:
    server = serve(receiver(NAMED, KEY="hush-hush-hush"))
    head = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Authorization: Bearer hush-hush-hush"]

    answer = talk(server, b"\r\n".join([*head, b"Content-Length: 2", b"Connection: close", b"", b"{}"]))

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2]).get("matched") == matched
