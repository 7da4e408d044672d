"""Where a request ends is never guessed, and what is refused is refused at once."""

import json
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from router.intake.parser import CHUNK_LINE_BYTES, TRAILER_BYTES, Parser
from router.intake.server import Server
from tests.intake.talking import echo, rest, talk

Serve = Callable[..., Server]
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n"


def _status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1."), answer
    return int(answer.split()[1])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header hush\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n X-Fold: hush\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (b"GET /a\rb HTTP/1.1\r\n\r\n", 400),
        (b"GET /a\nb HTTP/1.1\r\n\r\n", 400),
        (b"GET http://[hush/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /?\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\nX: hush\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.2\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 400),
        (HEAD + b"Content-Length: x\r\n\r\n", 400),
        (HEAD + b"Content-Length: -5\r\n\r\n", 400),
        (HEAD + b"Content-Length: +5\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 5, 5\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (HEAD + b"Content-Length:\r\n 5\r\n\r\nhello", 400),
        (HEAD + b"X: 1\r\n\t2\r\n\r\n", 400),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + b"0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + HELLO + b"0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: identity\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + HELLO + b"0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + b"0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello", 400),
        (HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + HELLO + b"0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding : chunked\r\n\r\n" + HELLO + b"0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + b"0\r\n\r\n", 400),
        (CHUNKED + b"zz\r\n", 400),
        (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"4\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"5" * (CHUNK_LINE_BYTES + 9000), 400),
        (CHUNKED + b"5;" + b"hush" * (CHUNK_LINE_BYTES + 9000), 400),
        (CHUNKED + HELLO + b"0\r\n" + b"X: hush\r\n" * (TRAILER_BYTES // 5), 400),
        (b"GET / HTTP/1.1\r\nX: " + b"hush" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: hush\r\n" * 101 + b"\r\n", 431),
    ],
)
def test_what_is_not_plain_http_is_a_problem_that_repeats_nothing(serve: Serve, request_: bytes, status: int) -> None:
    after = b"GET /smuggled HTTP/1.1\r\n\r\n"

    answer = talk(serve(echo), request_, after, close=False)  # it is the server who ends the connection

    assert _status(answer) == status
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert b"hush" not in answer
    assert b"waitress" not in answer.lower()


@pytest.mark.parametrize(
    ("request_", "length"),
    [
        (b"GET / HTTP/1.1\r\nConnection: close\r\n" + b"X: 1\r\n" * 99 + b"\r\n", 0),
        (b"GET /%ff%00%zz/../?" + b"a" * 5000 + b" HTTP/1.1\r\nConnection: close\r\n\r\n", 0),
        (b"GET //a//b HTTP/1.0\r\n\r\n", 0),
        (b"\r\n\r\nGET / HTTP/1.0\r\n\r\n", 0),
        (b"GET http://elsewhere.example/ HTTP/1.0\r\n\r\n", 0),
        (b"OPTIONS * HTTP/1.0\r\n\r\n", 0),
        (b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 5),
        (CHUNKED + HELLO * 3 + b"0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n", 15),
        (CHUNKED + b"5;a=b;c\r\nhello\r\n0\r\n\r\n", 5),
        (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", 5),
    ],
)
def test_what_is_odd_but_clear_is_taken(serve: Serve, request_: bytes, length: int) -> None:
    answer = talk(serve(echo), request_)

    assert _status(answer) == 200
    assert b'"length": %d' % length in answer


def test_a_body_up_to_its_paths_limit_is_taken_and_one_byte_more_is_not(serve: Serve) -> None:
    limits = {"/small": 1000, "/large": 2000}
    server = serve(echo, body_limit=lambda path: limits.get(path, 10))
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    for path, limit in ((b"/small", 1000), (b"/large", 2000), (b"/%73mall", 1000), (b"//large", 2000), (b"/else", 10)):
        assert b'"length": %d' % limit in talk(server, head % (path, limit), b"x" * limit)
        assert _status(talk(server, head % (path, limit + 1), close=False)) == 413
    limits["/small"] = 3000  # as a reload may
    assert b'"length": 3000' in talk(server, head % (b"/small", 3000), b"x" * 3000)


def test_a_chunked_body_is_bounded_as_it_arrives(serve: Serve) -> None:
    server = serve(echo, body_limit=lambda _: 1000)
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"

    assert b'"length": 1000' in talk(server, CHUNKED, chunk * 10, b"0\r\n\r\n")
    assert _status(talk(server, CHUNKED, chunk * 11, close=False)) == 413
    single = b"1\r\nx\r\n"
    assert b'"length": 1000' in talk(server, CHUNKED, single * 1000, b"0\r\n\r\n")


def test_nobody_is_invited_to_send_what_is_refused(serve: Serve) -> None:
    server = serve(echo, body_limit=lambda _: 1000)
    expecting = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    assert _status(talk(server, expecting % 1001, close=False)) == 413
    assert _status(talk(server, expecting % 0, close=False)) == 200
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(expecting % 5)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert b'"length": 5' in rest(connection)


def test_a_body_that_there_is_no_room_for_is_a_503(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    server = serve(echo, body_limit=lambda _: 1 << 24)
    head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n"

    answer = talk(server, head % 1_000_000, b"x" * 1_000_000)

    assert _status(answer) == 503
    assert b"Retry-After: 5" in answer
    assert _status(talk(server, head % 100_000, b"x" * 100_000)) == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nX:" + b" " * 60_000 + b"\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 60_000 + b"\r\n\r\n",
        b"GET http://" + b"1" * 60_000 + b" x\r\n\r\n",
        b"GET" + b" " * 60_000 + b"x\r\n\r\n",
        CHUNKED + b"5" + b';a="' + b"\\" * 4000 + b"\r\n",
    ],
    ids=["blanks", "name", "host", "line", "extension"],
)
def test_no_bytes_take_the_square_of_their_length(serve: Serve, request_: bytes) -> None:
    server = serve(echo)
    before = time.process_time()

    assert _status(talk(server, request_, close=False)) == 400

    assert time.process_time() - before < 1


def _read(parser: HTTPRequestParser, data: bytes) -> HTTPRequestParser:
    while data and not parser.completed:
        data = data[parser.received(data) :]
    return parser


def _meaning(parser: HTTPRequestParser) -> dict[str, Any]:
    if parser.empty or not parser.headers_finished:
        return {"empty": parser.empty, "completed": parser.completed}
    names = (
        "command",
        "version",
        "request_uri",
        "proxy_scheme",
        "proxy_netloc",
        "path",
        "query",
        "fragment",
        "headers",
    )
    more = ("url_scheme", "chunked", "content_length", "completed", "empty")
    return {name: getattr(parser, name, None) for name in (*names, *more)} | {"body": parser.get_body_stream().read()}


_TOKENS = ("GET", "POST", "PUT", "get", "P(", "X-A", "x-a", "X_A", "Host", "", " ", "\x0b", "é")
_TARGETS = (
    "/",
    "/a/b",
    "//a//b?c#d",
    "/%61?b=%20#c",
    "*",
    "http://h:1/p?q",
    "http://[x/",
    "a:b",
    "/\x01",
    "/a\rb",
    "/\n",
    "/\xff",
    "",
)
_VERSIONS = (" HTTP/1.1", " HTTP/1.0", " HTTP/1.1", " HTTP/2.0", " HTTP/1.2", "", " ", " HTTP/1.1 \t", "\nHTTP/1.1")
_FINE = (
    "Content-Length: 5", "content-length:05 ", "Transfer-Encoding: Chunked\t", "Connection: close", "Expect: 100-Continue",
    "Connection: Keep-Alive", "Expect: x", "X-A: 1", "x-a: 2", "X_A: 3", "X-A:\t \xe9\xa0 ", "X-A:", "Content-Type: a/b",
)  # fmt: skip
_ODD = (
    "Content-Length: \xb2", "Content-Length:", "Content-Length: 5x", "Transfer-Encoding: gzip", "Transfer-Encoding:",
    "Transfer-Encoding: chunked,", "X-A : 1", " X-A: 1", "X-A", ":", "X-A: a\rb", "X-A: a\nb", "X-A: \x00", "",
)  # fmt: skip
_HEADS = st.builds(
    lambda *parts: "".join(parts[:4]) + "\r\n" + "".join(f"{field}\r\n" for field in parts[4]) + "\r\n",
    st.sampled_from(("", "", "", "\r\n", " ")),
    st.just("POST") | st.sampled_from(_TOKENS),
    st.sampled_from(_TARGETS).map(lambda target: " " + target) | st.just(" /"),
    st.just(" HTTP/1.1") | st.sampled_from(_VERSIONS),
    st.lists(st.sampled_from(_FINE), max_size=6) | st.lists(st.sampled_from(_FINE + _ODD) | st.text(max_size=8)),
)


@settings(max_examples=1500)
@given(_HEADS, st.sampled_from((b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"hello, and more")))
def test_what_is_taken_means_what_it_means_to_waitress(head: str, body: bytes) -> None:
    request = head.encode("latin-1", "replace") + body
    adjustments = Adjustments()

    ours = _read(Parser(adjustments, lambda _: 1000), request)

    if ours.error is None:
        theirs = _read(HTTPRequestParser(adjustments), request)
        assert theirs.error is None
        assert _meaning(ours) == _meaning(theirs)
        assert ours.expect_continue == (theirs.expect_continue and not theirs.completed)


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /a?b=c#d HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: \xe9\r\nX_A: 3\r\nContent-Length: 5\r\n\r\nhello",
        CHUNKED + HELLO + b"0\r\n\r\n",
        b"POST http://elsewhere.example/a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 05\r\n\r\nhello",
        HEAD + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n",
        b"GET //a//b?c HTTP/1.1\r\n\r\n",
    ],
)
def test_what_senders_send_is_taken_as_waitress_takes_it(request_: bytes) -> None:
    ours = _read(Parser(Adjustments(), lambda _: 1000), request_)
    theirs = _read(HTTPRequestParser(Adjustments()), request_)

    assert ours.error is None
    assert _meaning(ours) == _meaning(theirs)
    assert ours.expect_continue == theirs.expect_continue
