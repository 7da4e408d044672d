"""What all attempts of forwards share."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from router.actions.forward.headers import StoppedHeaders
from router.client.client import Client, open_client


@dataclass(frozen=True, slots=True)
class Resources:
    """The client and the log of stopped headers. Belongs to the delivery loop."""

    client: Client
    stopped_headers: StoppedHeaders = field(default_factory=StoppedHeaders)


@contextlib.asynccontextmanager
async def open_resources() -> AsyncIterator[Resources]:
    """Open the client for the running loop. The end of the block closes its connections."""
    async with open_client() as client:
        yield Resources(client)
