"""The interface of handshakes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from router.domain.reply import Reply
from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.options import Options
from router.plugins.scheme import Unverified, Verifier


class Handshake(Protocol):
    """A compiled handshake of one source: answers the requests with which a provider tests the address."""

    @property
    def methods(self) -> tuple[str, ...]:
        """HTTP methods that it needs besides the source's."""
        ...

    def before_verification(self, inbound: Inbound) -> Reply | Unverified | None:
        """Answer or refuse a request that is not signed like an event. None for any other request."""
        ...

    def after_verification(self, inbound: Inbound, payload: Any) -> Reply | Unverified | None:
        """Answer or refuse a verified request that only tests the address. None for an event."""
        ...


@dataclass(frozen=True, slots=True)
class Handshakes:
    """Several handshakes of one source. The first one that recognizes the request answers it."""

    all: tuple[Handshake, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """See Handshake.methods."""
        return tuple(method for one in self.all for method in one.methods)

    def before_verification(self, inbound: Inbound) -> Reply | Unverified | None:
        """See Handshake.before_verification."""
        found = (one.before_verification(inbound) for one in self.all)
        return next((answer for answer in found if answer is not None), None)

    def after_verification(self, inbound: Inbound, payload: Any) -> Reply | Unverified | None:
        """See Handshake.after_verification."""
        found = (one.after_verification(inbound, payload) for one in self.all)
        return next((answer for answer in found if answer is not None), None)


class HandshakeKind(Protocol):
    """A kind of handshake: a module of router/intake/handshake with these names inside."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class
        """The model of the `handshake` mapping without its `scheme`."""
        ...

    @property
    def compile(self) -> "Callable[[Any, Build], Handshake]":
        """Compile the options to a handshake. Faults go to the build."""
        ...


class ProbeKind(Protocol):
    """Compiles the `probes` of a source."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class
        """The model of one probe."""
        ...

    @property
    def compile(self) -> "Callable[[Sequence[Any], Sequence[str], Verifier | None, Build], Handshake]":
        """Compile all probes, with the source's methods and verifier, to a handshake. Faults go to the build."""
        ...
