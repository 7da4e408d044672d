"""The HTTP client of forwards and polls: pools of connections. Each address is checked before the connection."""

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


#: Whether all checks of aiohttp have passed in this process. Its clients and the processes forked from it rely on that.
_passed = False


class RefusedAddressError(OSError):
    """A name resolved to an address to which forwards never connect."""


def _checked_socket(info: Any) -> socket.socket:
    """Make the socket for an address. aiohttp calls this for every address, from a name or from the URL itself."""
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
    """Closes an idle connection on which bytes arrived. They would be taken for the next answer.

    aiohttp checks this when a connection goes back to the pool, but not when it leaves the pool. Once the next request
    is sent, early bytes look like its answer.
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
    """Sends requests. Belongs to one event loop."""

    exchanges: Exchanges = field(default_factory=Exchanges)
    _resolver: Resolver = field(default_factory=Resolver)
    _sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = field(default_factory=dict)
    _keep: bool = True  #: whether connections are kept for further requests
    _counted: bool = True  #: whether interim answers are counted

    async def check(self) -> bool:
        """Check the inner parts of aiohttp that this client uses, and switch off what fails. True if all passed."""
        found = await checked(Client)
        self.exchanges.direct, self._keep, self._counted = found.direct, found.keep, found.counted
        passed = found.direct and found.keep and found.counted
        if not passed:
            log.warning(
                "this version of aiohttp works in another way than expected; forwards are slower",
                aiohttp=aiohttp.__version__,
                direct=found.direct,
                kept_connections=found.keep,
                interim_answers_counted=found.counted,
                reason=found.reason or None,
            )
        return passed

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
        """See Exchanges.exchange. With `named` the request may go to refused addresses too.

        A proxy resolves names itself, so only an address written in the URL can be refused here. The proxy's own
        address is checked like a target's.
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
        """A session. With `named` it connects to refused addresses too; with `fresh` it opens a new connection for each
        request."""
        key = (named, fresh)
        if key not in self._sessions:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_on_reuse)
            connector = _Connector(
                limit=0,  # targets have their own limits
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
    """Open a client for the running loop. The first one of a process is checked. The end of the block closes it."""
    global _passed  # noqa: PLW0603 - the library stays the same while the process runs
    client = Client()
    try:
        if _passed:
            client.exchanges.direct = True
        else:
            _passed = await client.check()
        yield client
    finally:
        await client.close()
