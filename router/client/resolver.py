"""Resolves host names with the system's resolver."""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from router.runtime.thread_pool import Threads

_LOOKUPS = 32  #: names that are looked up at once


class Resolver(AbstractResolver):
    """Looks names up in its own threads, so that a slow name server delays nothing else."""

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
