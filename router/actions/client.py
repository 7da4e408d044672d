"""The HTTP client of forwards: pools of connections, and a check of every address before it is connected to."""

import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from router.actions.exchange import Answer, Exchanges, Request, Trace

_IDLE_SECONDS = 15.0  #: how long an idle connection is kept; many servers close theirs after 20 s or more

# Link-local networks, where clouds answer with credentials, and the metadata addresses outside of them.
_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "192.0.0.192/32")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedAddressError(OSError):
    """The address that a name led to is one that forwards don't go to."""


def refused(address: str) -> bool:
    """Whether forwards go there only when it is named: metadata and link-local addresses, IPv4 in IPv6 unmapped."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return any(ip in network for network in _REFUSED if network.version == ip.version)


def _checked_socket(info: Any) -> socket.socket:
    """Make the socket for an address; this sees every address, those written in URLs and those of names."""
    family, kind, protocol, _, address = info
    if refused(str(address[0])):
        raise RefusedAddressError(f"{address[0]} is a link-local or metadata address")
    return socket.socket(family, kind, protocol)


async def _on_reuse(_: Any, context: Any, __: Any) -> None:
    context.trace_request_ctx.reused = True


@dataclass(slots=True)
class Client:
    """Belongs to the delivery loop."""

    exchanges: Exchanges = field(default_factory=Exchanges)
    _sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = field(default_factory=dict)

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
            connector = aiohttp.TCPConnector(
                limit=0,  # limits belong to targets
                ttl_dns_cache=10,
                socket_factory=None if named else _checked_socket,
                **({"force_close": True} if fresh else {"keepalive_timeout": _IDLE_SECONDS}),
            )
            self._sessions[key] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                trace_configs=[trace],
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._sessions[key]

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
