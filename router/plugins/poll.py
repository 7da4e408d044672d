"""What a source offers that the router asks, instead of waiting for its requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from router.plugins.build import Build
from router.plugins.options import Options


@dataclass(frozen=True, slots=True)
class PolledItem:
    """One item of an answer, or the answer as a whole."""

    id: str  #: by which polls know it again
    body: bytes  #: of its event
    content_type: str | None
    payload: Any


class Poll(Protocol):
    """A compiled `poll`."""

    @property
    def method(self) -> str:
        """Of its requests, and its events."""
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
        """Whether TLS tells that the answer comes from the service."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of what makes it start anew when it changes."""
        ...

    @property
    def has_items(self) -> bool:
        """Whether an answer has several events."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its settings in force, for display; secrets by name."""
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
        """Options, the source's `parse` and `max_body` in, Poll out; faults go to the build."""
        ...
