"""One request and its answer, on aiohttp's connections.

For a small request aiohttp's session spends two thirds of its time on features that forwards don't use: redirects,
cookies, uploads in pieces, traces. So a usual request is written straight to a connection from the session's pool, and
the answer is read from its parser. Pool, name lookups, TLS and parser are aiohttp's.

These are inner parts of aiohttp. At the start exchange_check.py checks that they work as expected here. If they don't,
all requests go through the session. Unusual requests always do.
"""

import asyncio
import functools
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from router.client.connection import PLAIN, ConnectionSpec, Proxy

LARGEST = 256 * 1024  #: bytes of a body that is written at once; a larger one is written as fast as the target reads
INTERIM = 20  #: answers of 1xx before the real one (RFC 9110, section 15.2); servers send one or two
_METHODS = ("POST", "PUT", "PATCH")
_ORIGINS = 1024  #: kept in the cache


@dataclass(frozen=True, slots=True)
class Request:
    """What one attempt sends."""

    method: str
    url: str  #: rendered, percent-encoded
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The target's response."""

    status: int
    headers: Mapping[str, str]
    body: bytes  #: its first bytes, up to the limit
    whole: bool = True  #: False when there was more, or the body was cut off


class EndlessInterimError(aiohttp.ClientPayloadError):
    """The server sent more interim answers than any server needs. Reading them for ever would keep a core busy."""


class CountedResponse(aiohttp.ClientResponse):
    """A session's response that stops at too many interim answers. aiohttp itself reads on until the timeout."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """See ClientResponse.start."""
        protocol: Any = connection.protocol
        read, left = protocol.read, INTERIM + 1

        async def counted() -> Any:
            nonlocal left
            if left == 0:
                raise EndlessInterimError("too many interim answers")
            left -= 1
            return await read()

        protocol.read = counted
        try:
            return await super().start(connection)
        finally:
            del protocol.read  # undo it: the connection is kept for other requests


@dataclass(slots=True)
class Trace:
    """Which connection one request used."""

    fresh: bool = False  #: ask for a new connection
    reused: bool = False  #: the connection was idle before, so the server may have closed it


@dataclass(slots=True)
class Exchanges:
    """Sends requests and reads answers. Belongs to one event loop."""

    direct: bool = False  #: whether usual requests bypass the session; set after the check
    _origins: dict[tuple[int, int, str, str], aiohttp.ClientRequest] = field(default_factory=dict)
    _used: "WeakSet[ResponseHandler]" = field(default_factory=WeakSet)

    async def exchange(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        within: aiohttp.ClientTimeout,
        limit: int,
        trace: Trace,
        by: ConnectionSpec = PLAIN,
    ) -> Answer:
        """Send a request and read its answer, with at most `limit` bytes of the body.

        Raises aiohttp.ClientError, OSError (a TimeoutError is one), or ValueError for a header that can't be sent.
        """
        url = encoded(request.url)
        usual = request.method in _METHODS and 0 < len(request.body) <= LARGEST and by.proxy is None
        if self.direct and usual and url.raw_user is None and url.raw_password is None and not trace.fresh:
            async with asyncio.timeout(within.total) as total:
                return await self._directly(session, url, request, within, total, limit, trace, by.tls)
        through, for_proxy = _through(by.proxy, url)
        async with session.request(
            request.method,
            url,
            data=request.body or None,
            headers=[*request.headers, *for_proxy],
            allow_redirects=False,
            timeout=within,
            trace_request_ctx=trace,
            ssl=True if by.tls is None else by.tls,
            **through,
        ) as response:
            body, whole = await _read(response.content, limit)
            if not whole:
                response.close()  # the rest is not read, so the connection can't serve another request
            return Answer(response.status, response.headers, body, whole)

    async def _directly(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        request: Request,
        within: aiohttp.ClientTimeout,
        total: asyncio.Timeout,
        limit: int,
        trace: Trace,
        tls: ssl.SSLContext | None,
    ) -> Answer:
        origin = self._origin(session, url, tls)
        head = _head(request, url.raw_path_qs, origin.headers["Host"])
        connector = session.connector
        assert connector is not None
        try:
            connection = await connector.connect(origin, traces=[], timeout=within)
        except TimeoutError as error:  # the timeout of the whole attempt comes as a cancellation
            raise aiohttp.ConnectionTimeoutError("no connection in time") from error
        try:
            protocol = connection.protocol
            assert protocol is not None
            trace.reused = protocol in self._used
            self._used.add(protocol)
            answer, reusable = await self._converse(connection, protocol, head + request.body, within, total, limit)
        except BaseException:
            connection.close()
            raise
        if reusable:
            connection.release()
        else:
            connection.close()
        return answer

    @staticmethod
    async def _converse(
        connection: Connection,
        protocol: ResponseHandler,
        sent: bytes,
        within: aiohttp.ClientTimeout,
        total: asyncio.Timeout,
        limit: int,
    ) -> tuple[Answer, bool]:
        transport = connection.transport
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        protocol.set_response_params(read_until_eof=True, auto_decompress=False, read_timeout=within.sock_read)
        transport.write(sent)
        protocol.start_timeout()
        try:
            for _ in range(INTERIM + 1):
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == 101:
                    break
            else:
                raise EndlessInterimError("too many interim answers")
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError("the answer is not HTTP") from error
        if content.is_eof() and content.exception() is None:  # a small answer arrives whole, with its head
            body = content.read_nowait(limit)
            whole = len(body) < limit
        else:
            # The status is known. From here a timeout ends the reading; the attempt keeps its answer.
            until = total.when()
            total.reschedule(None)
            body, whole = await _read(content, limit, until)
        # The server may answer before the whole request has left the write buffer.
        reusable = whole and not (connection.transport is None or connection.transport.get_write_buffer_size())
        return Answer(message.code, message.headers, body, whole), reusable

    def _origin(self, session: aiohttp.ClientSession, url: URL, tls: ssl.SSLContext | None) -> aiohttp.ClientRequest:
        """The request object that tells aiohttp's connector where to connect."""
        key = (id(session), id(tls), url.scheme, url.raw_authority)
        found = self._origins.get(key)
        if found is None:
            if len(self._origins) >= _ORIGINS:
                self._origins.clear()
            loop = asyncio.get_running_loop()
            found = self._origins[key] = aiohttp.ClientRequest(
                "POST", url.origin(), session=session, loop=loop, ssl=True if tls is None else tls
            )
        return found


def _through(proxy: Proxy | None, url: URL) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The session's arguments for the proxy, and the headers for a plain HTTP request through it."""
    if proxy is None:
        return {}, []
    if proxy.authorization is None:
        return {"proxy": proxy.url}, []
    header = ("Proxy-Authorization", proxy.authorization.reveal())
    if url.scheme == "https":  # these headers are for the proxy alone; the tunnel leads to the target
        return {"proxy": proxy.url, "proxy_headers": dict([header])}, []
    return {"proxy": proxy.url}, [header]


@functools.lru_cache(maxsize=1024)  # a URL caches its parts
def encoded(url: str) -> URL:
    """The URL exactly as it was rendered: percent-encoded, without decoding or normalising."""
    return URL(url, encoded=True)


def _head(request: Request, path: str, host: str) -> bytes:
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    lines += [f"Content-Length: {len(request.body)}", "", ""]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise ValueError("a line break or NUL in a header")
    return text.encode()


async def _read(content: aiohttp.StreamReader, limit: int, until: float | None = None) -> tuple[bytes, bool]:
    """The first bytes of a body, and whether they are the whole body.

    The status is known already, so an error costs only the connection.
    """
    parts, room = [], limit
    try:
        async with asyncio.timeout_at(until):
            while room > 0 and (part := await content.read(room)):
                parts.append(part)
                room -= len(part)
    except (aiohttp.ClientError, OSError):
        return b"".join(parts), False
    return b"".join(parts), room > 0
