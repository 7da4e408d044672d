"""The address by which browsers reach the page, when a proxy ends TLS in front of the admin listener."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from router.domain.errors import StartError

_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?")
_HTTPS = 443


@dataclass(frozen=True, slots=True)
class ExternalUrl:
    """An https address without a path."""

    name: str  #: of the host, in lower case
    port: int = _HTTPS

    @property
    def host(self) -> str:
        """As a browser writes it in the Host header."""
        return self.name if self.port == _HTTPS else f"{self.name}:{self.port}"

    @property
    def origin(self) -> str:
        """As a browser writes it in the Origin header."""
        return f"https://{self.host}"


def parse_external_url(text: str) -> ExternalUrl:
    """Parse `https://router.example.net` or `https://router.example.net:8443/`. Raises StartError."""
    example = "write the address that a browser shows, such as https://router.example.net"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise StartError(f"--admin-url is no address; {example}") from None
    if parts.scheme != "https":
        raise StartError(
            f"--admin-url must begin with https://, since the token and the session travel by it; {example}"
        )
    if parts.username is not None or parts.password is not None:
        raise StartError(f"--admin-url takes no user and no password; {example}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise StartError(f"--admin-url takes no path: give the page a host name or a port of its own; {example}")
    name = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.removesuffix(":")
    if not name.isascii():
        example = "write the name as it travels, such as https://xn--mnchen-3ya.example for https://münchen.example"
    host = _host(name.lower())
    if not host or port == 0:
        raise StartError(f"--admin-url has no host name that a browser could ask for; {example}")
    return ExternalUrl(host, port or _HTTPS)


def _host(name: str) -> str:
    """A host as a browser writes it, an IPv6 address in its short form; empty for none."""
    if not name.startswith("["):
        return name if _HOST.fullmatch(name) else ""
    try:
        return f"[{ipaddress.IPv6Address(name[1:-1])}]" if name.endswith("]") and "%" not in name else ""
    except ValueError:
        return ""
