"""Where `send` sends to."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from router.domain.errors import StartError
from router.domain.listen_address import ListenAddress, parse_listen_address


@dataclass(frozen=True, slots=True)
class Destination:
    """A daemon's address, with the path prefix of its reverse proxy if there is one."""

    tls: bool
    host: str
    port: int
    prefix: str = ""  #: without a slash at its end

    def __str__(self) -> str:
        return f"http{'s' if self.tls else ''}://{ListenAddress(self.host, self.port)}{self.prefix}"


def destination(text: str) -> Destination:
    """Parse `http://HOST:PORT`, or `HOST:PORT` as `serve --listen` takes it. Raises StartError."""
    if "://" not in text:
        listen = parse_listen_address(text).from_here
        return Destination(False, listen.host, listen.port)  # noqa: FBT003 - no TLS
    fault = StartError(
        f"{text!r} is not an address to send to; write http://127.0.0.1:8080 or https://hooks.example.com"
    )
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise fault from None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[!-~]*", text):
        raise fault
    if parts.username is not None or parts.query or parts.fragment:
        raise fault
    tls = parts.scheme == "https"
    return Destination(tls, host, port if port is not None else 443 if tls else 80, parts.path.rstrip("/"))
