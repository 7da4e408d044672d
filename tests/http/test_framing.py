"""The reader never guesses where a request ends, and refuses an invalid request at once."""

import contextlib
import json
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.http.limits import CHUNK_LINE_BYTES, HEADER_COUNT, SLICE_BYTES, TRAILER_BYTES
from router.http.reader import Message, Reader
from tests.conftest import examples
from tests.http.talking import Recorder, connect, echo, get, rest, status, talk

Serve = Callable[..., Any]
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n"
END = b"0\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
AFTER = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

REFUSED = [
    (b"nonsense\r\n\r\n", 400),
    (b"GET\r\n\r\n", 400),
    (GET + b"bad header hush\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n X-Fold: hush\r\n\r\n", 400),
    (GET + b"X: a\rb\r\n\r\n", 400),
    (GET + b"X: a\x00b\r\n\r\n", 400),
    (GET + b"X: a\x01b\r\n\r\n", 400),
    (GET + b"X: a\x7fb\r\n\r\n", 400),
    (GET + b"X\xe9: a\r\n\r\n", 400),
    (GET + b"X : a\r\n\r\n", 400),
    (GET + b": a\r\n\r\n", 400),
    (GET + b"X(: a\r\n\r\n", 400),
    (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /a\rb HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /a\nb HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /a\tb HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET http://[hush/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET http://u:hush@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /#hush HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /?\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    (GET + b"X: hush\nY: 1\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 400),
    (b"GET / HTTP/0.9\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 400),
    (b"GET / http/1.1\r\nHost: x\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (GET + b"Host: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a/hush\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (HEAD + b"Content-Length: x\r\n\r\n", 400),
    (HEAD + b"Content-Length: -5\r\n\r\n", 400),
    (HEAD + b"Content-Length: +5\r\n\r\nhello", 400),
    (HEAD + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    (HEAD + b"Content-Length: 5 5\r\n\r\nhello", 400),
    (HEAD + b"Content-Length: 0x5\r\n\r\nhello", 400),
    (HEAD + b"Content-Length:\r\n\r\nhello", 400),
    (HEAD + b"Content-Length : 5\r\n\r\nhello", 400),
    (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    (HEAD + b"Content-Length: " + b"0" * 5000 + b"5\r\n\r\nhello", 400),
    (HEAD + b"Content-Length:\r\n 5\r\n\r\nhello", 400),
    (HEAD + b"X: 1\r\n\t2\r\n\r\n", 400),
    (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + END, 400),
    (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + HELLO + END, 400),
    (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + HELLO + END, 400),
    (HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + HELLO + END, 400),
    (HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + END, 400),
    (HEAD + b"Transfer-Encoding: identity\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + HELLO + END, 400),
    (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + END, 400),
    (HEAD + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello", 400),
    (HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + HELLO + END, 400),
    (HEAD + b"Transfer-Encoding : chunked\r\n\r\n" + HELLO + END, 400),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + END, 400),
    (CHUNKED + b"zz\r\n", 400),
    (CHUNKED + b"0x5\r\nhello\r\n" + END, 400),
    (CHUNKED + b"+5\r\nhello\r\n" + END, 400),
    (CHUNKED + b" 5\r\nhello\r\n" + END, 400),
    (CHUNKED + b"5\nhello\r\n" + END, 400),
    (CHUNKED + b"5\n\r\nhello\r\n" + END, 400),
    (CHUNKED + b"5;a=b\n\r\nhello\r\n" + END, 400),
    (CHUNKED + b"5;a\rb\r\nhello\r\n" + END, 400),
    (CHUNKED + b"5;\x00\r\nhello\r\n" + END, 400),
    (CHUNKED + b"5;a=\x80\r\nhello\r\n" + END, 400),
    (CHUNKED + b"4\r\nhello\r\n" + END, 400),
    (CHUNKED + b"5\r\nhello\n" + END, 400),
    (CHUNKED + b"5\r\nhello" + END, 400),
    (CHUNKED + HELLO + b"0\n\n", 400),
    (CHUNKED + HELLO + b"0\r\n\n", 400),
    (CHUNKED + HELLO + b"0\r\nT: 1\n\r\n", 400),
    (CHUNKED + HELLO + b"0\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400),
    (CHUNKED + b"fffffffffffffffff\r\n", 400),
    (CHUNKED + b"5" * (CHUNK_LINE_BYTES + 9000), 400),
    (CHUNKED + b"5;" + b"hush" * (CHUNK_LINE_BYTES + 9000), 400),
    (CHUNKED + HELLO + b"0\r\n" + b"X: hush\r\n" * (TRAILER_BYTES // 5), 400),
    (CHUNKED + HELLO + b"0\r\nX: " + b"hush" * (SLICE_BYTES + TRAILER_BYTES), 400),
    (GET + b"X: " + b"hush" * 20_000 + b"\r\n\r\n", 431),
    (GET + b"X: " + b"hush" * 40_000, 431),
    (GET + b"X: hush\r\n" * 100 + b"\r\n", 431),
    (b"GET /" + b"hush" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    (b"\r\n" * 60_000, 431),
]


@pytest.mark.parametrize(("request_", "expected"), REFUSED)
def test_invalid_http_gets_a_problem_without_the_senders_text(own: Serve, request_: bytes, expected: int) -> None:
    seen = Recorder()
    server = own(seen)

    answer = talk(server, request_, AFTER, close=False)  # the server closes the connection

    assert status(answer) == expected
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"Connection: close" in head
    assert json.loads(body)["status"] == expected
    assert b"hush" not in answer
    assert not seen.requests


@pytest.mark.parametrize(("request_", "expected"), REFUSED[:3] + REFUSED[40:60])
def test_requests_are_parsed_in_the_same_way_however_their_bytes_are_split(
    own: Serve, request_: bytes, expected: int
) -> None:
    server = own(echo)
    with connect(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for at in range(min(200, len(request_))):
                connection.sendall(request_[at : at + 1])
            connection.sendall(request_[200:])
        except OSError:
            pass  # the request was refused already

        assert status(rest(connection)) == expected


#: Requests that waitress accepts. The table of servers in docs/security.md names them.
WAITRESS_TAKES = {
    "trailers that frame": [CHUNKED + HELLO + b"0\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"],
    "any number of headers": [GET + b"X: hush\r\n" * 100 + b"\r\n"],
    "other versions, as HTTP/1.0": [
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
    ],
    "chunk lines that end with \\n\\r\\n": [
        CHUNKED + b"5\n\r\nhello\r\n" + END,
        CHUNKED + b"5;a=b\n\r\nhello\r\n" + END,
    ],
    "folding": [HEAD + b"Content-Length:\r\n 5\r\n\r\nhello", HEAD + b"X: 1\r\n\t2\r\n\r\n"],
    "length beside chunked": [
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + END,
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + HELLO + END,
    ],
    "chunked twice": [
        HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + HELLO + END,
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + END,
    ],
    "an empty transfer encoding": [HEAD + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello"],
    "chunked under HTTP/1.0": [b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + END],
}


@pytest.mark.parametrize("request_", [request for request, _ in REFUSED])
def test_waitress_refuses_the_same_requests_except_documented_ones(waitress: Serve, request_: bytes) -> None:
    seen = Recorder()
    server = waitress(seen)

    with connect(server) as connection:
        with contextlib.suppress(OSError):  # it resets connections whose sender still sends
            connection.sendall(request_)
            connection.shutdown(socket.SHUT_WR)
            rest(connection)

    assert bool(seen.requests) == any(request_ in taken for taken in WAITRESS_TAKES.values())


@pytest.mark.parametrize(
    ("request_", "length"),
    [
        (GET + b"Connection: close\r\n" + b"X: 1\r\n" * 98 + b"\r\n", 0),
        (b"GET /?" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
        (b"GET / HTTP/1.0\r\n\r\n", 0),
        (b"\r\n\r\nGET / HTTP/1.0\r\n\r\n", 0),
        (b"GET http://elsewhere.example/ HTTP/1.0\r\n\r\n", 0),
        (b"OPTIONS * HTTP/1.0\r\n\r\n", 0),
        (b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 5),
        (CHUNKED + HELLO * 3 + b"0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n", 15),
        (CHUNKED + b"5;a=b;c\r\nhello\r\n" + END, 5),
        (CHUNKED + b'5;a="b;c"\r\nhello\r\n' + END, 5),
        (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", 5),
        (HEAD + b"Content-Length: 005 \t\r\n\r\nhello", 5),
        (HEAD + b"Transfer-Encoding: Chunked\r\n\r\n" + HELLO + END, 5),
        (GET + b"Connection: upgrade, close\r\nUpgrade: h2c\r\n\r\n", 0),
    ],
)
def test_unusual_but_clear_requests_are_accepted(serve: Serve, request_: bytes, length: int) -> None:
    answer = talk(serve(echo), request_)

    assert status(answer) == 200
    assert b'"length": %d' % length in answer


def test_a_request_for_another_protocol_is_answered_by_http_1(own: Serve) -> None:
    wish = b"Connection: upgrade\r\nUpgrade: h2c\r\n"

    sized = HEAD + wish + b"Content-Length: 41\r\n\r\n" + b"GET /smuggled HTTP/1.1\r\nHost: smuggled\r\n\r\n"[:41]
    chunked = HEAD + wish + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO + b"0\r\nT: 1\r\n\r\n"
    data = (GET + wish + b"\r\n") * 40 + sized + chunked + sized + get("/last")

    with connect(own(echo)) as connection:
        for at in range(0, len(data), 37):
            connection.sendall(data[at : at + 37])
        answer = rest(connection)

    assert answer.count(b"HTTP/1.1 200 OK") == 44
    assert answer.count(b'"length": 41') == 2
    assert answer.count(b'"length": 5') == 1
    assert b"/smuggled" not in answer
    assert b'"path": "/last"' in answer


def test_the_body_of_an_upgrade_request_has_the_usual_limits(own: Serve) -> None:
    server = own(echo, body_limit=lambda _: 1000)
    wish = HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n"

    assert status(talk(server, wish + b"Content-Length: 1001\r\n\r\n", close=False)) == 413
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + HELLO * 201 + END
    assert status(talk(server, wish + chunks, AFTER, close=False)) == 413
    assert status(talk(server, wish + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", close=False)) == 400
    answer = talk(server, wish.replace(b": upgrade", b": upgrade, close") + b"Content-Length: 5\r\n\r\nhello", AFTER)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_an_upgrade_request_may_have_the_largest_number_of_headers(own: Serve) -> None:
    wish = HEAD + b"Connection: upgrade, close\r\nUpgrade: h2c\r\nContent-Length: 5\r\n"
    most = wish + b"".join(b"X-%d: 1\r\n" % number for number in range(HEADER_COUNT - 4))

    assert b'"length": 5' in talk(own(echo), most + b"\r\nhello")
    assert status(talk(own(echo), most + b"X-More: 1\r\n\r\nhello", close=False)) == 431


def test_a_body_may_have_exactly_the_limit_of_its_path(serve: Serve) -> None:
    limits = {"/small": 1000, "/large": 2000}
    server = serve(echo, body_limit=lambda path: limits.get(path, 10))
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    for path, limit in ((b"/small", 1000), (b"/large", 2000), (b"/else", 10)):
        assert b'"length": %d' % limit in talk(server, head % (path, limit), b"x" * limit)
        assert status(talk(server, head % (path, limit + 1), b"x" * (limit + 1), close=False)) == 413
    limits["/small"] = 3000  # a reload may change the limit
    assert b'"length": 3000' in talk(server, head % (b"/small", 3000), b"x" * 3000)


def test_a_body_announced_as_too_large_is_refused_before_it_arrives(own: Serve) -> None:
    server = own(echo, body_limit=lambda _: 1000)

    assert status(talk(server, HEAD + b"Content-Length: 1001\r\n\r\n", close=False)) == 413


def test_the_size_of_a_chunked_body_is_checked_as_it_arrives(serve: Serve) -> None:
    server = serve(echo, body_limit=lambda _: 1000)
    head = CHUNKED.replace(b"Host: x", b"Host: x\r\nConnection: close")
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"

    assert b'"length": 1000' in talk(server, head, chunk * 10, END)
    assert status(talk(server, head, chunk * 11, END, close=False)) == 413
    assert b'"length": 1000' in talk(server, head, b"1\r\nx\r\n" * 1000, END)


def test_the_framing_of_tiny_chunks_is_limited(own: Serve) -> None:
    server = own(echo, body_limit=lambda _: 100_000)

    answer = talk(server, CHUNKED, (b"1;" + b"e" * 3000 + b"\r\nx\r\n") * 600, close=False)

    assert status(answer) == 413


def test_a_100_continue_comes_before_an_accepted_body(own: Serve) -> None:
    server = own(echo, body_limit=lambda _: 1000)
    expecting = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    assert status(talk(server, expecting % 0, close=False)) == 200
    with connect(server) as connection:
        connection.sendall(expecting % 5)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert b'"length": 5' in rest(connection)


def test_a_too_large_body_gets_no_100_continue(own: Serve) -> None:
    server = own(echo, body_limit=lambda _: 1000)
    for headers in (b"Content-Length: 1001", b"Content-Length: 5\r\nHost: y", b"Transfer-Encoding: gzip"):
        answer = talk(server, HEAD + b"Expect: 100-continue\r\n" + headers + b"\r\n\r\n", close=False)
        assert b" 100 " not in answer
        assert status(answer) >= 400


def test_a_100_continue_comes_after_earlier_replies(own: Serve) -> None:
    server = own(echo)
    with connect(server) as connection:
        connection.sendall(
            GET + b"\r\n" + HEAD + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
        )
        received = b""
        while b"100 Continue" not in received:
            received += connection.recv(1000)
        assert received.index(b" 200 OK") < received.index(b" 100 Continue")
        connection.sendall(b"hello")
        assert b'"length": 5' in rest(connection)


def test_a_body_that_does_not_fit_on_the_disk_gets_503(own: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    server = own(echo, body_limit=lambda _: 1 << 24)
    head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n"

    answer = talk(server, head % 1_000_000, b"x" * 1_000_000)

    assert status(answer) == 503
    assert b"Retry-After: 5" in answer
    assert status(talk(server, head % 100_000, b"x" * 100_000)) == 200


@pytest.mark.parametrize(
    "request_",
    [
        GET + b"X:" + b" " * 60_000 + b"\x00\r\n\r\n",
        GET + b"a" * 60_000 + b"\r\n\r\n",
        b"GET http://" + b"1" * 60_000 + b" x\r\n\r\n",
        b"GET" + b" " * 60_000 + b"x\r\n\r\n",
        b"GET /" + b"%41" * 20_000 + b"% HTTP/1.1\r\nHost: x\r\n\r\n",
        CHUNKED + b"5" + b';a="' + b"\\" * 4000 + b"\r\n",
    ],
    ids=["blanks", "name", "host", "line", "percent", "extension"],
)
def test_parsing_time_grows_linearly_with_the_bytes(own: Serve, request_: bytes) -> None:
    server = own(echo)
    before = time.process_time()

    assert status(talk(server, request_, close=False)) == 400

    assert time.process_time() - before < 1


def test_a_request_that_ends_in_the_middle_gets_400(own: Serve) -> None:
    server = own(echo)
    for request in (b"GET / HT", GET, HEAD + b"Content-Length: 5\r\n\r\nhell", CHUNKED + HELLO):
        assert status(talk(server, request)) == 400
    assert talk(server, b"") == b""
    assert talk(server, b"\r\n") == b""


# Differential tests: h11 must read the accepted requests in the same way.

_TOKENS = ("GET", "POST", "PUT", "get", "P(", "", " ", "\x0b", "é")
_TARGETS = (
    "/",
    "/a/b",
    "/a?b=%20#c",
    "/a?b=%20&c",
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
_VERSIONS = (" HTTP/1.1", " HTTP/1.0", " HTTP/2.0", " HTTP/1.2", "", " ", " HTTP/1.1 \t", "\nHTTP/1.1")
_FINE = (
    "Host: x", "Content-Length: 5", "content-length:05 ", "Transfer-Encoding: Chunked", "Connection: close",
    "Expect: 100-Continue", "Connection: Keep-Alive", "Expect: x", "X-A: 1", "x-a: 2", "X-A:\t \xe9\xa0 ", "X-A:",
    "Content-Type: a/b",
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
    st.lists(st.sampled_from(_FINE), max_size=6).map(lambda fields: ["Host: x", *fields])
    | st.lists(st.sampled_from(_FINE + _ODD) | st.text(max_size=8)),
)
_BODIES = st.sampled_from((b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"hello, and more"))


def _ours(data: bytes, step: int) -> list[tuple[str, str, list[tuple[str, str]], bytes]] | None:
    """The complete requests that our reader finds, or None if it refuses one."""
    reader = Reader(lambda _: 1000)
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
    found: list[Message] = list(reader.ready)
    if any(message.refused for message in found):
        return None
    taken = [(one.method, one.version, [_as_h11(*header) for header in one.headers], one.body.take()) for one in found]
    reader.close()
    return taken


def _as_h11(name: str, value: str) -> tuple[str, str]:
    """Write a header as h11 does, with the names of transfer codings in lower case."""
    return (name, value.lower()) if name.lower() == "transfer-encoding" else (name, value)


def _theirs(data: bytes, number: int) -> list[tuple[str, str, list[tuple[str, str]], bytes]]:
    """The first `number` requests that h11 finds. Raises h11.RemoteProtocolError."""
    found = []
    for _ in range(number):
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        request, body = connection.next_event(), b""
        assert isinstance(request, h11.Request)
        while isinstance(event := connection.next_event(), h11.Data):
            body += bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        headers = [(name.decode(), value.decode("latin-1").strip(" \t")) for name, value in request.headers.raw_items()]
        found.append((request.method.decode(), request.http_version.decode(), headers, body))
        data = connection.trailing_data[0]
    return found


@examples(250)
@given(_HEADS, _BODIES, st.sampled_from((1, 7, 100_000)))
def test_h11_reads_generated_requests_in_the_same_way(head: str, body: bytes, step: int) -> None:
    data = head.encode("latin-1", "replace") + body

    ours = _ours(data, step)

    assert _ours(data, 100_000) == ours
    if ours:
        assert ours == _theirs(data.lstrip(b"\r\n"), len(ours))


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: \xe9\r\nContent-Length: 5\r\n\r\nhello",
        CHUNKED + HELLO + END,
        b"POST http://elsewhere.example/a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 05\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\n\r\nhello" + GET + b"\r\n" + CHUNKED + HELLO + END,
    ],
)
def test_h11_reads_usual_requests_in_the_same_way(request_: bytes) -> None:
    ours = _ours(request_, 100_000)

    assert ours
    assert ours == _theirs(request_, len(ours))
