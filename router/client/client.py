"""The HTTP client of forwards and polls: pools of connections, and a check of every address before the connection."""

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog

from router.client.connection import PLAIN, ConnectionSpec
from router.client.exchange import Answer, CountedResponse, Exchanges, Request, Trace
from router.client.exchange_check import checked
from router.client.refused_addresses import refused
from router.client.resolver import Resolver
from router.client.url import is_address

log = structlog.get_logger()

_IDLE_SECONDS = 15.0  #: how long an idle connection is kept; many servers close theirs after 20 s or more


class RefusedAddressError(OSError):
    """A name resolved to an address that forwards refuse."""


def _checked_socket(info: Any) -> socket.socket:
    """Make the socket for an address. aiohttp calls it for every address: of a name, or written in the URL."""
    address = info[4]
    if refused(str(address[0])):
        raise RefusedAddressError(f"{address[0]} is a link-local or metadata address")
    return _socket(info)


def _socket(info: Any) -> socket.socket:
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


async def _on_reuse(_: Any, context: Any, __: Any) -> None:
    context.trace_request_ctx.reused = True


class _Connector(aiohttp.TCPConnector):
    """Closes an idle connection on which bytes arrived, since they would be taken for the next answer.

    aiohttp checks for them when a connection is given back, but not when it is taken again. Bytes that arrive after the
    next request was sent can't be told from its answer.
    """

    async def _get(self, key: Any, traces: list[Any]) -> Any:
        while (connection := await super()._get(key, [])) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                for trace in traces:
                    await trace.send_connection_reuseconn()
                return connection
            connection.close()
        return None


@dataclass(slots=True)
class Client:
    """Belongs to one event loop."""

    exchanges: Exchanges = field(default_factory=Exchanges)
    _resolver: Resolver = field(default_factory=Resolver)
    _sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = field(default_factory=dict)
    _keep: bool = True  #: whether connections are kept for further requests
    _counted: bool = True  #: whether interim answers are counted

    async def check(self) -> None:
        """Try the inner parts of aiohttp that are used here, and do without those that fail."""
        found = await checked(Client)
        self.exchanges.direct, self._keep, self._counted = found.direct, found.keep, found.counted
        if not (found.direct and found.keep and found.counted):
            log.warning(
                "this version of aiohttp works in another way than expected; forwards are slower",
                aiohttp=aiohttp.__version__,
                direct=found.direct,
                kept_connections=found.keep,
                interim_answers_counted=found.counted,
                reason=found.reason or None,
            )

    async def exchange(
        self,
        request: Request,
        *,
        named: bool,
        within: aiohttp.ClientTimeout,
        limit: int,
        trace: Trace,
        connection: ConnectionSpec = PLAIN,
    ) -> Answer:
        """See Exchanges.exchange; `named` reaches refused addresses as well.

        With a proxy the addresses of names are the proxy's to look up, so only those that the URL writes out can be
        refused here. The proxy's own address is checked as a target's is.
        """
        proxy = connection.proxy
        if proxy is not None:
            host = urlsplit(request.url).hostname or ""
            if not named and is_address(host) and refused(host):
                raise RefusedAddressError(f"{host} is a link-local or metadata address")
            named = proxy.is_literal_address
        session = self.session(named=named, fresh=trace.fresh)
        return await self.exchanges.exchange(session, request, within, limit, trace, connection)

    def session(self, *, named: bool = False, fresh: bool = False) -> aiohttp.ClientSession:
        """A session: `named` reaches refused addresses as well, `fresh` connects anew for each request."""
        key = (named, fresh)
        if key not in self._sessions:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_on_reuse)
            connector = _Connector(
                limit=0,  # limits belong to targets
                resolver=self._resolver,
                ttl_dns_cache=10,
                socket_factory=_socket if named else _checked_socket,
                **({"keepalive_timeout": _IDLE_SECONDS} if self._keep and not fresh else {"force_close": True}),
            )
            self._sessions[key] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                response_class=CountedResponse if self._counted else aiohttp.ClientResponse,
                trust_env=False,
                trace_configs=[trace],
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._sessions[key]

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()


@contextlib.asynccontextmanager
async def open_client() -> AsyncIterator[Client]:
    """A client for the running loop, checked, and closed at the end of the block."""
    client = Client()
    try:
        await client.check()
        yield client
    finally:
        await client.close()
