"""The address that a server listens on."""

import ipaddress
import re
from dataclasses import dataclass

from router.domain.errors import StartError

_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only when asked


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Host and port to listen on."""

    host: str
    port: int  #: 0: any free port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the address. False for every host name but localhost."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    @property
    def from_here(self) -> "ListenAddress":
        """The address to reach the server from this machine: loopback for a server that listens on every address."""
        return ListenAddress(_EVERY.get(self.host, self.host), self.port)


def parse_listen_address(text: str) -> ListenAddress:
    """Parse `HOST:PORT`, `[IPv6]:PORT` or `:PORT` (every address). Raises StartError."""
    found = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})", text)
    if found is None or int(found["port"]) > 65535:
        raise StartError(
            f"{text!r} is not an address to listen on; write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"
        )
    return ListenAddress(found["six"] or found["host"] or "0.0.0.0", int(found["port"]))  # noqa: S104 - only when asked
