"""The interface of verification schemes."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from router.domain.made_often import made_often
from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.options import Options


@made_often
@dataclass(frozen=True, slots=True)
class Verified:
    """The sender is verified. The request has lost its plain credentials."""

    inbound: Inbound


class VerifyFailure(StrEnum):
    """Why a verification failed. It is a label of metrics."""

    MISSING = "missing"  #: a header or parameter that the scheme needs is missing or empty
    MALFORMED = "malformed"  #: it is not in the form that such senders write
    MISMATCH = "mismatch"  #: no secret fits: another sender, a wrong secret, or a request that was changed on its way
    TIME = "time"  #: it was signed at a time too far from now


@dataclass(frozen=True, slots=True)
class Unverified:
    """The sender is not verified. The reason is for the log, never for the sender."""

    failure: VerifyFailure
    reason: str
    challenge: str = ""  #: WWW-Authenticate of the answer (RFC 9110), if the scheme has one


@dataclass(frozen=True, slots=True, eq=False)
class KeysAwaited:
    """The provider's public keys are being fetched; the request can be judged once that is done."""

    fetched: "Future[None]"  #: done when `verify` should be called again, with the keys or without


@dataclass(frozen=True, slots=True)
class KeysUnavailable:
    """The provider's public keys can't be fetched at present. The sender did nothing wrong and should try again."""

    reason: str


Verdict = Verified | Unverified | KeysAwaited | KeysUnavailable
"""The verdict of a verifier."""


@dataclass(frozen=True, slots=True)
class SenderProof:
    """What a sender adds to a request so that the scheme lets it in."""

    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""  #: percent-encoded, to be added to the query
    is_credential: bool = False  #: it contains the secret itself, so it must not be shown


@dataclass(frozen=True, slots=True)
class Unsignable:
    """The rules file and its secrets are not enough to sign such a request. The reason has no full stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class SenderProfile:
    """What a provider sends: `send` imitates it, and forwards pass its headers."""

    event: str | None = None  #: the header with the kind of the event
    ids: tuple[str, ...] = ()  #: headers with an id of the delivery
    form: bool = False  #: it sends forms, at least sometimes
    headers: tuple[str, ...] = ()
    """Globs of its headers that forwards pass on, including the signature. `{key}` is an option's value."""


@dataclass(frozen=True, slots=True)
class SignedParts:
    """What a signature covers besides the body. Anybody who recorded a request can change the rest."""

    headers: frozenset[str] = frozenset()  #: in lower case
    query: bool = False
    method: bool = False


class Verifier(Protocol):
    """A compiled verification of one source."""

    @property
    def verifies(self) -> bool:
        """False only for the scheme none, which lets anybody send."""
        ...

    @property
    def signed_parts(self) -> SignedParts | None:
        """None without a signature: the scheme is none, or a credential covers the whole request."""
        ...

    def verify(self, inbound: Inbound, now: int) -> Verdict:
        """Check the raw request at `now` (ms). Compares in constant time and never raises."""
        ...

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:
        """What the sender would add at `now` (ms), by the first secret that is set. `verify` accepts the result."""
        ...


class Scheme(Protocol):
    """A verification scheme: a module of router/intake/verify with these names inside."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class
        """The model of the `verify` mapping without its `scheme`."""
        ...

    @property
    def DEFAULTS(self) -> Mapping[str, Any]:  # noqa: N802 - a constant of the module
        """Defaults for keys of the source, as written in YAML."""
        ...

    @property
    def PROFILE(self) -> SenderProfile:  # noqa: N802 - a constant of the module
        """What its provider sends besides the signature."""
        ...

    @property
    def compile(self) -> "Callable[[Any, Build], Verifier]":
        """Compile the options to a verifier. Faults go to the build."""
        ...
