"""Checks on a loopback connection that aiohttp's inner parts do what `exchange` and `client` expect.

This takes some 50 ms, once in a process. The library's version number alone would not show a patch.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from router.client.exchange import INTERIM, Answer, EndlessInterimError, Exchanges, Request, Trace

SECONDS = 5.0  #: for each part; a machine that needs longer uses the public way
_WITHIN = aiohttp.ClientTimeout(total=SECONDS, sock_connect=SECONDS)
_IMPATIENT = aiohttp.ClientTimeout(total=SECONDS, sock_connect=SECONDS, sock_read=0.01)
_LIMIT = 10
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"
_ANSWERS = {
    "/a%2Fb?x=%20": _OK,
    "/chunked": b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "/interim": _INTERIM * INTERIM + _OK,
    "/endless": _INTERIM * (INTERIM + 1) + _OK,
    "/long": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + b"x" * 50,
    "/silent": b"HTTP/1.1 200 OK\r\n",
    "/stray": _OK,
    "/sync": _OK,
}
_STRAY = b"HTTP/1.1 201 Stray\r\nContent-Length: 0\r\n\r\n"


class _Client(Protocol):
    exchanges: Exchanges

    async def exchange(
        self, request: Request, *, named: bool, within: aiohttp.ClientTimeout, limit: int, trace: Trace
    ) -> Answer: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Checked:
    """Which inner parts work as expected."""

    direct: bool = False  #: requests written straight to a connection
    keep: bool = False  #: an idle connection that received bytes is not used again
    counted: bool = False  #: endless interim answers end a session's exchange
    reason: str = ""  #: the first failure


async def checked(make: Callable[[], _Client]) -> Checked:
    """Try each part with a client of its own."""
    found = Checked()
    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(_serving())
        except OSError as error:  # there is no loopback address to try on
            found.reason = type(error).__name__
            return found
        for name, direct, attempt in (
            ("direct", True, _usual),
            ("keep", False, _stray),
            ("counted", False, _endless),
        ):
            client = make()
            client.exchanges.direct = direct
            try:
                async with asyncio.timeout(SECONDS):
                    await attempt(server, client)
                setattr(found, name, True)
            except Exception as error:  # noqa: BLE001 - a changed library may do anything
                found.reason = found.reason or f"{name}: {type(error).__name__}"
            finally:
                await client.close()
        found.direct = found.direct and found.keep
    return found


class _Unexpected(Exception):
    """The library does something unexpected."""


def _expect(truth: object) -> None:
    if not truth:
        raise _Unexpected


async def _ask(
    server: "_Server", client: _Client, path: str, within: aiohttp.ClientTimeout = _WITHIN
) -> tuple[int, bytes, bool]:
    trace = Trace()
    request = Request("POST", f"http://127.0.0.1:{server.port}{path}", (("X-A", "b"),), b"hello")
    answer = await client.exchange(request, named=False, within=within, limit=_LIMIT, trace=trace)
    return answer.status, answer.body, trace.reused


async def _usual(server: "_Server", client: _Client) -> None:
    """Requests arrive complete and unchanged, on one connection as long as it can be kept."""
    before = server.connections
    _expect(await _ask(server, client, "/a%2Fb?x=%20") == (200, b"ok", False))
    head = f"POST /a%2Fb?x=%20 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-A: b\r\nContent-Length: 5\r\n\r\n"
    _expect(server.last == head.encode() + b"hello")
    _expect(await _ask(server, client, "/chunked") == (503, b"ok", True))
    _expect(await _ask(server, client, "/interim") == (200, b"ok", True))
    _expect(await _ask(server, client, "/long") == (200, b"x" * _LIMIT, True))
    _expect(server.connections == before + 1)
    _expect(await _ask(server, client, "/chunked") == (503, b"ok", False))  # the rest of /long was not read
    await _endless(server, client)
    try:
        await _ask(server, client, "/silent", _IMPATIENT)
    except TimeoutError:
        await _stray(server, client)
    else:
        raise _Unexpected


async def _endless(server: "_Server", client: _Client) -> None:
    try:
        await _ask(server, client, "/endless")
    except EndlessInterimError:
        _expect((await _ask(server, client, "/chunked"))[:2] == (503, b"ok"))
    else:
        raise _Unexpected


async def _stray(server: "_Server", client: _Client) -> None:
    """Bytes that arrive on an idle connection are not taken for the next answer."""
    _expect((await _ask(server, client, "/stray"))[:2] == (200, b"ok"))
    server.send_stray()
    # The bytes were sent before this answer, on the other connection. When the answer is here, they are too.
    await _round_trip(server.port)
    _expect(await _ask(server, client, "/chunked") == (503, b"ok", False))


async def _round_trip(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /sync HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    await reader.readexactly(len(_OK))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class _Server:
    """Answers by the path and keeps the last request."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.last = b""
        self.send_stray: Callable[[], None] = lambda: None
        self.tasks: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                await self._answer(reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or b"0")
        path = head.split(b" ")[1].decode()
        request = head + await reader.readexactly(length)
        if path != "/sync":
            self.last = request
        writer.write(_ANSWERS[path])
        if path == "/stray":
            self.send_stray = lambda: writer.write(_STRAY)
        await writer.drain()


@contextlib.asynccontextmanager
async def _serving() -> AsyncIterator[_Server]:
    server = _Server()
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        tasks = list(server.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
