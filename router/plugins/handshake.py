"""What a handshake offers."""

from collections.abc import Callable
from typing import Any, Protocol

from router.domain.reply import Reply
from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.options import Options
from router.plugins.scheme import Unverified


class Handshake(Protocol):
    """A compiled handshake of one source: answers the requests by which a provider tests the address."""

    @property
    def methods(self) -> tuple[str, ...]:
        """HTTP methods that it takes besides the source's."""
        ...

    def before_verification(self, inbound: Inbound) -> Reply | Unverified | None:
        """Answer or refuse a request that the provider does not sign as it signs events; None for any other request."""
        ...

    def after_verification(self, payload: Any) -> Reply | None:
        """Answer a verified request that only tests the address; None when it is an event."""
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
