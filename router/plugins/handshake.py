"""What a handshake offers."""

from collections.abc import Callable
from typing import Any, Protocol

from router.domain.http import Inbound, Reply
from router.plugins.build import Build
from router.plugins.options import Options
from router.plugins.scheme import Unverified


class Handshake(Protocol):
    """A compiled handshake of one source: answers requests by which the provider tests the address."""

    @property
    def methods(self) -> tuple[str, ...]:
        """HTTP methods that it takes besides the source's."""
        ...

    def before(self, inbound: Inbound) -> Reply | Unverified | None:
        """Answer or refuse a test that has a verification of its own; None: the request is something else."""
        ...

    def after(self, payload: Any) -> Reply | None:
        """Answer a test that was verified like an event; None: the request is an event."""
        ...


class HandshakeKind(Protocol):
    """A kind of handshake: a module of router/intake/handshake with these names inside."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class
        """The model of the `handshake` mapping without its `scheme`."""
        ...

    @property
    def compile(self) -> "Callable[[Any, Build], Handshake]":
        """Options in, Handshake out; faults go to the build."""
        ...
