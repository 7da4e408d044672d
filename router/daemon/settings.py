"""The daemon's settings from the command line. All other settings are in the rules file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.domain.errors import StartError
from router.domain.external_url import ExternalUrl
from router.domain.listen_address import ListenAddress
from router.domain.nearest_word import nearest
from router.domain.networks import Network, network
from router.domain.units import seconds, size
from router.http.certificate import TlsFiles
from router.http.limits import MAX_CONNECTIONS, REQUEST_SECONDS
from router.store.fleet import LEASE_SECONDS, ROLES
from router.store.location import StoreLocation

GRACE_SECONDS = 10.0  #: how long a stop waits for running attempts; service managers kill after about 90 s

#: how long settled events are kept: long enough to examine last week's; a day of 1 event/s takes 100 MB
KEEP_SECONDS = 7 * 86400.0
KEEP_DEAD_SECONDS = 30 * 86400.0  #: the same for events with a dead delivery, which somebody may replay
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?")


#: how long a delivery may wait before it is reported; the usual waits between attempts are shorter
BACKLOG_SECONDS = 3600.0
#: how long polls of a source may fail before it is reported; a restart of the service takes less
FAILING_SECONDS = 300.0
#: free bytes on the store's disk below which it is reported: a busy day may fill the rest
DISK_BYTES = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TellBounds:
    """When the daemon reports a backlog, the disk, or a polled source that fails."""

    backlog: float = BACKLOG_SECONDS  #: seconds
    disk: int = DISK_BYTES
    failing: float = FAILING_SECONDS  #: seconds


@dataclass(frozen=True, slots=True)
class Settings:
    """One daemon's settings."""

    rules: Path
    listen: ListenAddress
    admin: ListenAddress | None  #: None: no admin listener
    store: StoreLocation
    commands: str = "any"  #: any, off, or the folder that programs must be in
    grace: float = GRACE_SECONDS
    trusted_proxies: tuple[Network, ...] = ()  #: networks whose X-Forwarded-For is trusted
    max_connections: int = MAX_CONNECTIONS
    server: str = "own"  #: the server of the intake: own or waitress
    processes: int = 1  #: processes that take requests; 1: only the daemon's own
    request_timeout: float = REQUEST_SECONDS
    tls: TlsFiles | None = None  #: of the intake; None: plain HTTP
    admin_tls: TlsFiles | None = None  #: of the admin listener
    admin_token_file: Path | None = None  #: None: from the environment, or generated and kept beside the store
    admin_read_token_file: Path | None = None  #: the read-only token; None: from the environment, or there is none
    admin_hosts: tuple[str, ...] = ()  #: further host names, in lower case, under which the admin listener answers
    admin_url: ExternalUrl | None = None  #: of the page behind a proxy that ends TLS
    roles: tuple[str, ...] = ROLES  #: what a node does that shares its store
    actions: tuple[str, ...] = ()  #: action types that it delivers; empty: all
    node: str = ""  #: its name; empty: the host's
    lease: float = LEASE_SECONDS
    keep: float | None = KEEP_SECONDS  #: seconds that an event is kept; None: for ever
    keep_dead: float | None = KEEP_DEAD_SECONDS  #: the same for events with a dead delivery, if longer
    tells: TellBounds = TellBounds()


def tells(backlog: str, disk: str, failing: str) -> TellBounds:
    """Parse a duration such as `1h`, a size such as `1GiB` and another duration. Raises StartError."""
    try:
        return TellBounds(seconds(backlog), size(disk), seconds(failing))
    except ValueError as error:
        cure = "--backlog-old and --source-failing take a duration such as 1h, --disk-low a size such as 1GiB"
        raise StartError(f"{cure}: {error}") from None


def retention(text: str) -> float | None:
    """Parse a duration such as `7d`, in seconds, or `forever` (None). Raises StartError."""
    if text == "forever":
        return None
    try:
        return seconds(text)
    except ValueError as error:
        raise StartError(f"expected forever, or a duration such as 7d: {error}") from None


def networks(text: str) -> tuple[Network, ...]:
    """Parse `10.0.0.0/8,::1`: addresses and networks with commas between. Raises StartError."""
    try:
        return tuple(network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise StartError(f"expected addresses and networks such as 10.0.0.0/8,::1: {error}") from None


def host_names(text: str) -> tuple[str, ...]:
    """Parse `hooks.example.com,router`: names without ports, with commas between. Raises StartError."""
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise StartError(
                f"{name!r} is not a host name; write names without ports, such as router,hooks.example.com"
            )
    return names


def tls_files(listener: str, cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    """The files of a listener's TLS, from the flags with this prefix; None when there are none. Raises StartError."""
    if cert is None:
        given = "key" if key is not None else "client-ca" if client_ca is not None else ""
        if given:
            raise StartError(f"{listener}-{given} needs {listener}-cert, the certificate to show")
        return None
    return TlsFiles(cert, key or cert, client_ca)


def names_of(text: str, flag: str, known: Sequence[str]) -> tuple[str, ...]:
    """Parse `intake,delivery`: some of the known words, with commas between. Raises StartError."""
    words = tuple(part.strip() for part in text.split(",") if part.strip())
    for word in words:
        if word not in known:
            near = nearest(word, known)
            hint = f"did you mean {near}?" if near else f"write some of {', '.join(known)}"
            raise StartError(f"{flag}: unknown word {word!r}; {hint}")
    return words
