"""The interface of polls: of sources that the router asks for events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from router.plugins.build import Build
from router.plugins.options import Options


@dataclass(frozen=True, slots=True)
class PolledItem:
    """One item of an answer, or the answer as a whole."""

    id: str  #: polls recognize the item by it
    body: bytes  #: the body of its event
    content_type: str | None
    payload: Any


class Poll(Protocol):
    """A compiled `poll`."""

    @property
    def method(self) -> str:
        """The method of its requests and of its events."""
        ...

    @property
    def every(self) -> float:
        """Seconds from one poll to the next."""
        ...

    @property
    def place(self) -> str:
        """The address without path and query, for logs and messages."""
        ...

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS proves that the answer comes from the service."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the settings whose change makes the poll start anew."""
        ...

    @property
    def has_items(self) -> bool:
        """Whether an answer has several events."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its settings in force, for display, with the names of secrets."""
        ...

    def read(self, body: bytes, content_type: str | None) -> Sequence[PolledItem]:
        """The items of an answer, in its order. Raises PayloadError."""
        ...


class PollKind(Protocol):
    """Compiles the `poll` of a source."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class
        """The model of the mapping."""
        ...

    @property
    def compile(self) -> "Callable[[Any, Any, int, Build], Poll]":
        """Compile the options, with the source's `parse` and `max_body`, to a poll. Faults go to the build."""
        ...
