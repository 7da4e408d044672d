"""One request and its answer for others than forwards; what goes wrong comes as a sentence."""

import aiohttp

from router.client.client import Client
from router.client.connection import ConnectionSpec
from router.client.exchange import Answer, Request, Trace
from router.client.failure import failure

CONNECT_SECONDS = 10.0


class NoAnswer(Exception):
    """No answer came. The text has place and cause, without path, query and any text of the other side."""


async def ask(
    client: Client, request: Request, connection: ConnectionSpec, place: str, *, seconds: float, limit: int, named: bool
) -> Answer:
    """Send a request. Its answer has at most `limit` bytes, and is cut off after so many `seconds`; `place` is how
    messages call the server, `named` as in Client.exchange. Raises NoAnswer."""
    within = aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds))
    proxy = connection.proxy.url if connection.proxy is not None else None
    # Twice at the most: a server may close an idle connection just as it is used.
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
