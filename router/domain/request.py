"""A request that the intake received."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from router.domain.headers import Headers, no_headers
from router.domain.made_often import made_often


@made_often
@dataclass(frozen=True, slots=True)
class Inbound:
    """One HTTP request that the intake received, before verification."""

    source: str
    method: str
    path: str
    query: str  #: raw, without the question mark
    headers: tuple[tuple[str, str], ...]  #: in the order received
    body: bytes
    ip: str  #: the sender's address
    received_at: int  #: ms
    named: Headers = field(default_factory=no_headers, repr=False, compare=False)  #: the headers by name

    def __post_init__(self) -> None:
        # Made once for all readers. A copy of the object with the same headers keeps it.
        if self.named.items_as_received is not self.headers:
            object.__setattr__(self, "named", Headers(self.headers).read())


def query_values(query: str) -> dict[str, list[str]]:
    """A raw query's parameters with their values, in order, percent-decoded."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return values
