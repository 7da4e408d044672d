"""waitress with our corrections, and the handler as an application of any WSGI server."""

import io
import itertools
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from waitress.channel import HTTPChannel

from router.http.waitress_server import WaitressServer
from router.http.waitress_writable import correct_writable
from router.http.wsgi import WsgiApp
from tests.conftest import until
from tests.http.descriptors import no_descriptors
from tests.http.talking import echo, get, rest, status, talk

Serve = Callable[..., Any]


def test_the_loop_sleeps_while_a_worker_handles_a_request(waitress: Serve) -> None:
    made = waitress(echo)._server.channel_class
    channel = made.__new__(made)
    channel.total_outbufs_len = 100
    channel.will_close = channel.close_when_flushed = False

    channel.requests = [object()]
    assert HTTPChannel.writable(channel)  # so waitress still needs the correction
    assert not channel.writable()
    channel.total_outbufs_len = 1 << 24  # a worker waits until a part of it is written
    assert channel.writable()
    channel.requests = []
    assert channel.writable()
    channel.total_outbufs_len = 0
    assert not channel.writable()
    channel.requests = [object()]
    channel.will_close = True
    assert channel.writable()


def test_the_loop_rests_while_a_connection_cannot_be_accepted(waitress: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.http.waitress_listener.REST_SECONDS", 3600.0)
    server = waitress(echo)
    assert status(talk(server, get(), close=False)) == 200
    until(lambda: server.connections()[0] == 0)
    with socket.socket() as one:
        one.settimeout(60)
        with no_descriptors(one.fileno()):
            one.connect(("127.0.0.1", server.port))
            one.sendall(get())
            until(lambda: server._sock.fileno() not in server._sockets)
        server._sock._until = 0.0  # the rest is over

        assert status(rest(one)) == 200


class _Mended:
    total_outbufs_len = 0
    requests: tuple[object, ...] = ()

    def writable(self) -> bool:
        return bool(self.total_outbufs_len and not self.requests)


class _Other:
    __slots__ = ()


@pytest.mark.parametrize("channel_class", [_Mended, _Other, None])
def test_a_waitress_with_another_structure_is_used_unchanged(channel_class: Any) -> None:
    class Server:
        pass

    server = Server()
    if channel_class is not None:
        server.channel_class = channel_class  # type: ignore[attr-defined]

    assert not correct_writable(server)
    assert getattr(server, "channel_class", None) is channel_class


def _ask(app: Any, **environ: Any) -> tuple[str, dict[str, str], bytes]:
    given: dict[str, Any] = {}
    setup_testing_defaults(given)
    given |= {"SERVER_PROTOCOL": "HTTP/1.1", "QUERY_STRING": ""} | environ
    for name in [name for name, value in given.items() if value is None]:
        del given[name]
    found: list[Any] = []

    def start(line: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        found.extend((line, dict(headers)))

    parts: Any = validator(app)(given, start)
    body = b"".join(parts)
    parts.close()
    return found[0], found[1], body


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "200"),
        ({"HTTP_HOST": None}, "400"),
        ({"HTTP_HOST": "a, b"}, "400"),
        ({"HTTP_HOST": None, "SERVER_PROTOCOL": "HTTP/1.0"}, "200"),
        ({"SERVER_PROTOCOL": "HTTP/0.9"}, "400"),
        ({"PATH_INFO": "//a"}, "404"),
        ({"PATH_INFO": "/a/../b"}, "404"),
        ({"PATH_INFO": "/caf\xc3\xa9"}, "200"),
        ({"PATH_INFO": "/\xff"}, "400"),
        ({"PATH_INFO": "/a", "REQUEST_URI": "/%61"}, "404"),
        ({"PATH_INFO": "/a", "RAW_URI": "/%61"}, "404"),
        ({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "11"}, "413"),
        ({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "10", "wsgi.input": io.BytesIO(b"x" * 10)}, "200"),
    ],
)
def test_any_wsgi_server_can_run_the_application(environ: dict[str, Any], expected: str) -> None:
    app = WsgiApp(echo, body_limit=lambda _: 10)

    line, headers, body = _ask(app, **environ)

    assert line.split()[0] == expected
    assert headers["Content-Length"] == str(len(body))
    if expected != "200":
        assert headers["Content-Type"] == "application/problem+json"


def test_a_path_is_decoded_as_utf_8_on_every_server(serve: Serve) -> None:
    answer = talk(serve(echo), get("/caf%C3%A9?%C3%A9"), close=False)

    assert status(answer) == 200
    assert b'"path": "/caf\\u00e9", "query": "%C3%A9"' in answer


def test_the_loop_sleeps_while_nothing_happens() -> None:
    server = WaitressServer(lambda _, __: [], "127.0.0.1", 0, threads=1, connections=10, largest_body=1)
    turns = itertools.count()
    server._sockets._each_turn = lambda: next(turns)  # type: ignore[assignment]
    server.start()
    try:
        answered = threading.Event()
        while next(turns) == 0:  # the loop is running
            time.sleep(0.01)
        before = next(turns)
        answered.wait(0.3)  # nothing sets it; a busy loop would run thousands of times meanwhile

        assert next(turns) - before < 10
    finally:
        server.stop(1)
