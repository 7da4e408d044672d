"""A request that the intake received, and the reply to it."""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

_PHRASES = {int(status): status.phrase for status in HTTPStatus}


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


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to a sender."""

    status: int
    body: bytes
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def status_line(self) -> str:
        """For example `202 Accepted`."""
        return f"{self.status} {_PHRASES.get(self.status, 'Status')}"


def query_values(query: str) -> dict[str, list[str]]:
    """A raw query's parameters with their values, in order, percent-decoded."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return values
