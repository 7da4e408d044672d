"""The admin listener: a server with the admin application in it."""

from collections.abc import Collection

from router.admin.app import CONNECTIONS, THREADS, admin_app
from router.admin.daemon import Daemon
from router.admin.gate import Gate
from router.admin.routes import body_limit
from router.intake.server import Server
from router.settings import Address


def admin_listener(
    daemon: Daemon, address: Address, token: bytes, names: Collection[str], request_seconds: float
) -> Server:
    """Listen, though not answer yet, on an address that may also be called by those names. Raises StartError."""
    gate = Gate(token, {address.host.lower(), *names}, closed=not address.is_loopback)
    return Server(
        admin_app(daemon, gate),
        address.host,
        address.port,
        body_limit=body_limit,
        threads=THREADS,
        connections=CONNECTIONS,
        name="admin",
        makes_room=True,  # whoever holds connections open, and needs no token for that, must not keep probes out
        request_seconds=request_seconds,
    )
