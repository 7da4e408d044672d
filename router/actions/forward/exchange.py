"""One request and its answer, on aiohttp's connections.

aiohttp's session spends two thirds of the time of a small request on what a forward never has: redirects, cookies,
proxies, uploads in pieces, traces. So the usual request is written to a connection of the session's pool at once, and
the answer taken from its parser; finding, opening, checking and keeping connections, TLS and parsing stay aiohttp's.
These are inner parts of it. exchange_check.py tries at the start whether they do what is expected here; when they
don't, every request goes through the session, as one that is not the usual one always does.
"""

import asyncio
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

LARGEST = 256 * 1024  #: bytes of a body that is written at once; larger ones as fast as the target takes them
INTERIM = 20  #: answers of 1xx before the real one (RFC 9110, section 15.2); servers send one or two
_METHODS = ("POST", "PUT", "PATCH")
_ORIGINS = 1024  #: that are remembered


@dataclass(frozen=True, slots=True)
class Request:
    """What one attempt sends."""

    method: str
    url: str  #: rendered, percent-encoded
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the target said."""

    status: int
    headers: Mapping[str, str]
    body: bytes  #: its beginning


class EndlessInterimError(aiohttp.ClientPayloadError):
    """More interim answers than any server needs: a target that keeps sending them would keep a core busy."""


class CountedResponse(aiohttp.ClientResponse):
    """A session's response that gives up on endless interim answers. aiohttp itself reads on until the timeout."""

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
            del protocol.read  # the class's own again: the connection is kept for other requests


@dataclass(slots=True)
class Trace:
    """What became known of one request's connection."""

    fresh: bool = False  #: a new one is asked for
    reused: bool = False  #: an idle connection was taken, which its server may have been closing


@dataclass(slots=True)
class Exchanges:
    """Belongs to the delivery loop."""

    direct: bool = False  #: whether usual requests go past the session: set once that was tried
    _origins: dict[tuple[int, str, str], aiohttp.ClientRequest] = field(default_factory=dict)
    _used: "WeakSet[ResponseHandler]" = field(default_factory=WeakSet)

    async def exchange(
        self, session: aiohttp.ClientSession, request: Request, within: aiohttp.ClientTimeout, limit: int, trace: Trace
    ) -> Answer:
        """Send a request, and read its answer, of the body at most `limit` bytes.

        Raises aiohttp.ClientError, OSError (a TimeoutError is one), or ValueError for a header that can't be sent.
        """
        url = encoded(request.url)
        usual = request.method in _METHODS and 0 < len(request.body) <= LARGEST
        if self.direct and usual and url.raw_user is None and url.raw_password is None and not trace.fresh:
            async with asyncio.timeout(within.total) as total:
                return await self._directly(session, url, request, within, total, limit, trace)
        async with session.request(
            request.method,
            url,
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            timeout=within,
            trace_request_ctx=trace,
        ) as response:
            body, whole = await _read(response.content, limit)
            if not whole:
                response.close()  # the rest is not read, so the connection can't serve another request
            return Answer(response.status, response.headers, body)

    async def _directly(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        request: Request,
        within: aiohttp.ClientTimeout,
        total: asyncio.Timeout,
        limit: int,
        trace: Trace,
    ) -> Answer:
        origin = self._origin(session, url)
        head = _head(request, url.raw_path_qs, origin.headers["Host"])
        connector = session.connector
        assert connector is not None
        try:
            connection = await connector.connect(origin, traces=[], timeout=within)
        except TimeoutError as error:  # the whole attempt's own comes as a cancellation
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
        if content.is_eof() and content.exception() is None:  # a small answer is here whole, with its head
            body = content.read_nowait(limit)
            whole = len(body) < limit
        else:
            # The status is here: what is late from now on ends the reading, and no longer the attempt.
            until = total.when()
            total.reschedule(None)
            body, whole = await _read(content, limit, until)
        # An answer that came before all was sent leaves a connection in the middle of a request.
        reusable = whole and not (connection.transport is None or connection.transport.get_write_buffer_size())
        return Answer(message.code, message.headers, body), reusable

    def _origin(self, session: aiohttp.ClientSession, url: URL) -> aiohttp.ClientRequest:
        """What the connector is asked for: where to, as aiohttp derives it from a URL."""
        key = (id(session), url.scheme, url.raw_authority)
        found = self._origins.get(key)
        if found is None:
            if len(self._origins) >= _ORIGINS:
                self._origins.clear()
            loop = asyncio.get_running_loop()
            found = self._origins[key] = aiohttp.ClientRequest("POST", url.origin(), session=session, loop=loop)
        return found


@functools.lru_cache(maxsize=1024)  # most forwards have one; its parts stay with it
def encoded(url: str) -> URL:
    """The URL as it is: it was rendered percent-encoded, and nothing may be decoded or normalised on the way."""
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
    """The beginning of a body, and whether that is all of it.

    The status is known by now, so a failure changes nothing but that the connection is of no more use.
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
