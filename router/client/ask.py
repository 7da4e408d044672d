"""Sends one request and returns its answer. A failure is raised as a sentence for operators. Polls use it."""

import aiohttp

from router.client.client import Client
from router.client.connection import ConnectionSpec
from router.client.exchange import Answer, Request, Trace
from router.client.failure import failure

CONNECT_SECONDS = 10.0


class NoAnswer(Exception):
    """No answer came. The text says place and cause, without path, query or text of the other side."""


async def ask(
    client: Client, request: Request, connection: ConnectionSpec, place: str, *, seconds: float, limit: int, named: bool
) -> Answer:
    """Send a request and return its answer. Raises NoAnswer.

    `seconds` limits the whole exchange, `limit` the bytes of the answer's body. `place` is the server's name in
    messages. For `named` see Client.exchange.
    """
    within = aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds))
    proxy = connection.proxy.url if connection.proxy is not None else None
    # Two tries at most: a server may close an idle connection at the moment when it is used.
    for fresh in (False, True):
        trace = Trace(fresh)
        try:
            return await client.exchange(
                request, named=named, within=within, limit=limit, trace=trace, connection=connection
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            is_closed = isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError | aiohttp.ClientOSError)
            if trace.reused and not fresh and is_closed and not isinstance(error, aiohttp.ClientConnectorError):
                continue
            raise NoAnswer(failure(error, place, within, proxy)) from None
    raise AssertionError
