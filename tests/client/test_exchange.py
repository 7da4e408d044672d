"""Requests that are written directly to a connection equal those of aiohttp's session, and so do their answers."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from router.actions.forward.outcome import outcome_of_answer
from router.client import client as client_module
from router.client import exchange as module
from router.client.client import Client
from router.client.exchange import Answer, EndlessInterimError, Exchanges, Request, Trace
from router.domain.outcomes import Outcome

WITHIN = aiohttp.ClientTimeout(total=10, sock_connect=5)
HEADERS = (("User-Agent", "t"), ("X-É", "grüße"), ("X-Twice", "1"), ("X-Twice", "2"))
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
Ask = Callable[[str], Request]


def exchange(serve: Serve, *asks: Ask, direct: bool = True, within: Any = WITHIN, limit: int = 1000) -> list[Any]:
    """Return a function that sends requests in turn. It gives answers or exceptions, and if a connection was reused."""

    async def run() -> list[Any]:
        number = 0
        tasks: list[asyncio.Task[None] | None] = []

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal number
            number += 1
            tasks.append(asyncio.current_task())
            try:
                await serve(reader, writer, number)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        client = Client(Exchanges(direct=direct))
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found: list[Any] = []
        for ask in asks:
            trace = Trace()
            try:
                answer = await client.exchange(ask(url), named=False, within=within, limit=limit, trace=trace)
                found.append((answer, trace.reused))
            except (aiohttp.ClientError, OSError, ValueError) as error:
                found.append((error, trace.reused))
        await client.close()
        server.close()
        for task in tasks:
            assert task is not None
            task.cancel()
            await asyncio.wait([task])
        return found

    return asyncio.run(run())


def post(path: str = "/in", body: bytes = b"hello", method: str = "POST") -> Ask:
    return lambda url: Request(method, url + path, HEADERS, body)


async def read(reader: asyncio.StreamReader) -> bytes:
    """Read one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0] if b"ontent-" in head else b"0"
    return head + await reader.readexactly(int(length))


def answering(*answers: bytes) -> Serve:
    """A server that answers the requests of a connection with these answers in turn."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        for answer in answers:
            await read(reader)
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return serve


def checked_client() -> Client:
    """A client whose checks have run, as in a daemon."""

    async def run() -> Client:
        client = Client()
        await client.check()
        await client.close()
        return client

    return asyncio.run(run())


def test_the_installed_aiohttp_works_as_expected() -> None:
    # If this fails after an upgrade of aiohttp, forwards use its public interface, which is slower. The log says why.
    client = checked_client()

    assert client.exchanges.direct
    assert client._keep
    assert client._counted


def opened_client() -> Client:
    """A client, opened and closed."""

    async def run() -> Client:
        async with client_module.open_client() as client:
            return client

    return asyncio.run(run())


def test_a_process_checks_its_first_client_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_passed", False)
    assert opened_client().exchanges.direct

    monkeypatch.setattr(aiohttp.StreamReader, "read_nowait", nothing_yet)

    assert opened_client().exchanges.direct  # checked, it would not be


def test_a_failed_check_is_repeated_for_the_next_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_passed", False)
    with monkeypatch.context() as patched:
        patched.setattr(aiohttp.StreamReader, "read_nowait", nothing_yet)
        assert not opened_client().exchanges.direct

    assert opened_client().exchanges.direct


def test_requests_go_through_the_session_until_the_check_has_passed() -> None:
    assert not Exchanges().direct


set_response_params = ResponseHandler.set_response_params


def wanting_a_timer(self: ResponseHandler, **given: Any) -> None:
    assert given["timer"] is not None
    set_response_params(self, **given)


def nothing_yet(self: aiohttp.StreamReader, limit: int = -1) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("owner", "name", "changed"),
    [
        (ResponseHandler, "set_response_params", wanting_a_timer),
        (aiohttp.StreamReader, "read_nowait", nothing_yet),
    ],
)
def test_forwards_use_the_public_interface_when_inner_parts_have_changed(
    owner: type, name: str, changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, changed)
        client = checked_client()

    assert not client.exchanges.direct
    assert client._keep
    found = exchange(answering(OK, OK), post(), post(), direct=client.exchanges.direct)
    assert [(answer.status, reused) for answer, reused in found] == [(200, False), (200, True)]


def test_connections_are_not_kept_when_idle_ones_cannot_be_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if a new version used another method of its pool.
    monkeypatch.setattr(client_module._Connector, "_get", aiohttp.TCPConnector._get)
    monkeypatch.setattr(ResponseHandler, "should_close", False)

    client = checked_client()

    assert not client._keep
    assert not client.exchanges.direct


def test_interim_answers_are_not_counted_when_the_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def another_way(self: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
        read, connection.protocol.read = connection.protocol.read, None
        connection.protocol.read = type(connection.protocol).read.__get__(connection.protocol)
        assert read
        return await start(self, connection)

    start = aiohttp.ClientResponse.start
    monkeypatch.setattr(aiohttp.ClientResponse, "start", another_way)

    assert not checked_client()._counted


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("code", [100, 102, 103, 199])
def test_endless_interim_answers_end_the_attempt(direct: bool, code: int) -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        nonlocal sent
        await read(reader)
        while True:
            writer.write(b"HTTP/1.1 %d Wait\r\n\r\n" % code)
            await writer.drain()
            await asyncio.sleep(0)
            sent += 1

    [(error, _)] = exchange(serve, post(), direct=direct)

    assert isinstance(error, EndlessInterimError)
    assert sent < 10_000  # before the timeout


@pytest.mark.parametrize("direct", [True, False])
def test_some_interim_answers_are_skipped(direct: bool) -> None:
    some = b"HTTP/1.1 102 Processing\r\n\r\n" * module.INTERIM + OK

    found = exchange(answering(some, some), post(), post(), direct=direct)

    assert [(answer.status, reused) for answer, reused in found] == [(200, False), (200, True)]


@pytest.mark.parametrize("path", ["/in", "", "/a%2Fb/%C3%A9?x=%20y&z", "/?", "/in?a=b"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_both_ways_of_sending_send_the_same_bytes(path: str, method: str) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        request = await read(reader)
        received.append(b"\r\n".join(line for line in request.split(b"\r\n") if not line.startswith(b"Host:")))
        assert request.count(b"Host: 127.0.0.1:") == 1
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        await reader.read()

    for direct in (True, False):
        [(answer, _)] = exchange(serve, post(path, method=method), direct=direct)
        assert answer.status == 204

    assert received[0] == received[1]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (OK, (200, b"ok")),
        (b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", (500, b"abcd")),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", (304, b"")),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nnot", (200, b"not")),
    ],
)
def test_a_response_is_read_and_its_connection_kept(sent: bytes, expected: tuple[int, bytes], direct: bool) -> None:
    found = exchange(answering(sent, sent), post(), post(), direct=direct)

    assert [(answer.status, answer.body, reused) for answer, reused in found] == [
        (*expected, False),
        (*expected, True),
    ]


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        OK + OK,  # a second answer without a request
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,  # longer than the part that is read
    ],
)
def test_an_unusable_connection_is_not_reused(sent: bytes) -> None:
    (_, first), (answer, second) = exchange(answering(sent, sent), post(), post())

    assert isinstance(answer, Answer)
    assert (first, second) == (False, False)


def test_a_response_that_ends_with_the_connection_is_complete() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        await writer.drain()

    [(answer, _)] = exchange(serve, post())

    assert answer == Answer(200, answer.headers, b"until the end")


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nonly a part\r\n",
    ],
)
def test_a_truncated_answer_succeeds_but_is_not_passed_to_the_sender(sent: bytes, direct: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read(reader)
        writer.write(sent)
        await writer.drain()

    [(answer, _)] = exchange(serve, post(), direct=direct)
    outcome = outcome_of_answer(answer, now=0, answers=True)

    assert (answer.body, answer.whole) == (b"only a part", False)
    assert (outcome.kind, outcome.answer) == (Outcome.succeeded().kind, None)


def test_an_early_response_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.Event().wait()  # it reads nothing more

    monkeypatch.setattr(module, "LARGEST", 1 << 30)
    more_than_the_kernel_takes = post(body=b"x" * (32 << 20))
    found = exchange(serve, more_than_the_kernel_takes, more_than_the_kernel_takes)

    assert [(answer.status, reused) for answer, reused in found] == [(413, False), (413, False)]


@pytest.mark.parametrize("direct", [True, False])
def test_a_connection_closed_before_the_response_is_an_error(direct: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read(reader)

    [(error, reused)] = exchange(serve, post(), direct=direct)

    assert isinstance(error, aiohttp.ServerDisconnectedError)
    assert not reused


@pytest.mark.parametrize("direct", [True, False])
def test_a_byte_by_byte_response_times_out(direct: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read(reader)
        for byte in OK * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    within = aiohttp.ClientTimeout(total=0.3, sock_connect=5)
    [(error, _)] = exchange(serve, post(), direct=direct, within=within)

    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize("direct", [True, False])
def test_too_long_a_pause_between_two_reads_is_an_error(direct: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await reader.read()

    within = aiohttp.ClientTimeout(total=30, sock_connect=5, sock_read=0.2)
    [(error, _)] = exchange(serve, post(), direct=direct, within=within)

    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"])
def test_a_header_with_a_line_break_is_never_sent(value: str) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter, __: int) -> None:
        received.append(await reader.read())

    [(error, _)] = exchange(serve, lambda url: Request("POST", url, [("X-A", value)], b"x"))

    assert isinstance(error, ValueError)
    assert received == []


@pytest.mark.parametrize("direct", [True, False])
def test_data_on_an_idle_connection_is_not_taken_for_the_next_response(direct: bool) -> None:
    async def run() -> list[tuple[Answer, bool]]:
        writers: list[asyncio.StreamWriter] = []

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with contextlib.suppress(asyncio.IncompleteReadError):
                while await read(reader):
                    writer.write(OK)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        client = Client(Exchanges(direct=direct))
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = []
        for _ in range(3):
            trace = Trace()
            answer = await client.exchange(post()(url), named=False, within=WITHIN, limit=1000, trace=trace)
            found.append((answer, trace.reused))
            connector = client.session().connector
            assert connector is not None
            [[(idle, _)]] = connector._conns.values()
            if len(found) == 2:
                writers[0].write(b"HTTP/1.1 201 Stray\r\nContent-Length: 0\r\n\r\n")
                async with asyncio.timeout(10):
                    while not idle.should_close:
                        await asyncio.sleep(0.001)
        await client.close()
        server.close()
        async with asyncio.timeout(10):
            for writer in writers:
                writer.close()
                await writer.wait_closed()
        return found

    found = asyncio.run(run())

    assert [(answer.status, reused) for answer, reused in found] == [(200, False), (200, True), (200, False)]
