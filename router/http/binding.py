"""The socket that a server listens on."""

import socket

from router.domain.errors import StartError
from router.http.limits import BACKLOG


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen, and make the socket non-blocking. Raises StartError if the address can't be used."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise StartError(f"can't listen on {shown}: {error.strerror or error}; check the address") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.settimeout(0)
    except OSError as error:
        sock.close()
        raise StartError(
            f"can't listen on {shown}: {error.strerror}; stop what listens there, or choose another"
        ) from None
    return sock
