"""A reply to a sender."""

from dataclasses import dataclass
from http import HTTPStatus

from router.domain.made_often import made_often

_PHRASES = {int(status): status.phrase for status in HTTPStatus}


@made_often
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
