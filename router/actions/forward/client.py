"""The HTTP client of forwards: pools of connections, and a check of every address before it is connected to."""

import socket
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

from router.actions.forward.exchange import Answer, CountedResponse, Exchanges, Request, Trace
from router.actions.forward.exchange_check import checked
from router.actions.forward.headers import StoppedHeaders
from router.actions.forward.refused_addresses import refused
from router.runtime.thread_pool import Threads

log = structlog.get_logger()

_LOOKUPS = 32  #: names looked up at once
_IDLE_SECONDS = 15.0  #: how long an idle connection is kept; many servers close theirs after 20 s or more


class RefusedAddressError(OSError):
    """The address that a name led to is one that forwards don't go to."""


def _checked_socket(info: Any) -> socket.socket:
    """Make the socket for an address; this sees every address, those written in URLs and those of names."""
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
    """Keeps no connection on which something came that nobody asked for: it would be taken for the next answer.

    aiohttp looks for that when a connection is given back, and not when it is taken again. What comes after the next
    request was sent can't be told from its answer by anyone.
    """

    async def _get(self, key: Any, traces: list[Any]) -> Any:
        while (connection := await super()._get(key, [])) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                for trace in traces:
                    await trace.send_connection_reuseconn()
                return connection
            connection.close()
        return None


class _Resolver(AbstractResolver):
    """Asks the system for addresses, in threads of its own: a name server that does not answer holds nothing else."""

    def __init__(self) -> None:
        self._threads = Threads("names", _LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._threads.call(
            "names", socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG
        )
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]  # fmt: skip

    async def close(self) -> None:
        self._threads.close()


@dataclass(slots=True)
class Client:
    """Belongs to the delivery loop."""

    exchanges: Exchanges = field(default_factory=Exchanges)
    stopped_headers: StoppedHeaders = field(default_factory=StoppedHeaders)
    _resolver: _Resolver = field(default_factory=_Resolver)
    _sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = field(default_factory=dict)
    _keep: bool = True  #: whether connections are kept for further requests
    _counted: bool = True  #: whether interim answers are counted

    async def check(self) -> None:
        """Try what is used of aiohttp's inner parts, and do without what doesn't work. Before the first exchange."""
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
        self, request: Request, *, named: bool, within: aiohttp.ClientTimeout, limit: int, trace: Trace
    ) -> Answer:
        """See Exchanges.exchange; `named` reaches refused addresses as well."""
        session = self.session(named=named, fresh=trace.fresh)
        return await self.exchanges.exchange(session, request, within, limit, trace)

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
