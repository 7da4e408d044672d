"""What a verification scheme offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.options import Options


@dataclass(frozen=True, slots=True)
class Verified:
    """The sender is who it has to be; the request without its plain credentials."""

    inbound: Inbound


class VerifyFailure(StrEnum):
    """What a verification failed by, in the few words that metrics count by."""

    MISSING = "missing"  #: the header or parameter that it needs, or the value of it
    MALFORMED = "malformed"  #: it is not in the form in which such senders write it
    MISMATCH = "mismatch"  #: no secret fits: somebody else's, a wrong one, or the request was changed on its way
    TIME = "time"  #: it was signed at a time too far from now


@dataclass(frozen=True, slots=True)
class Unverified:
    """The sender is not; the reason is for the log, never for the sender."""

    failure: VerifyFailure
    reason: str
    challenge: str = ""  #: the answer's WWW-Authenticate (RFC 9110), where the scheme has one


@dataclass(frozen=True, slots=True)
class Signed:
    """What a sender adds to a request so that the scheme lets it in."""

    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""  #: as it stands in a URL, to come after what the query has
    is_credential: bool = False  #: the secret itself is in there: never to be shown


@dataclass(frozen=True, slots=True)
class Unsignable:
    """Nobody who has but the rules file and its secrets could have sent the request; the reason ends with no stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class SenderProfile:
    """What a provider sends, by which `send` does as it does, and by which forwards know its headers."""

    event: str | None = None  #: the header that says what kind of event it is
    ids: tuple[str, ...] = ()  #: headers that hold an id of this one delivery
    form: bool = False  #: it sends forms, at least at times
    headers: tuple[str, ...] = ()
    """Globs of what it sends, the signature included, which forwards pass on. `{key}` is an option's value."""


@dataclass(frozen=True, slots=True)
class SignedParts:
    """What a scheme's signature covers beside the body's bytes; all else anybody who recorded a request can change."""

    headers: frozenset[str] = frozenset()  #: in lower case
    query: bool = False


class Verifier(Protocol):
    """A compiled verification of one source."""

    @property
    def verifies(self) -> bool:
        """False only for scheme none: anybody may send."""
        ...

    @property
    def signed(self) -> SignedParts | None:
        """None: there is no signature. A credential vouches for all of the request, or nobody is verified."""
        ...

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:
        """Judge the raw request; now in ms. Compares bytes in constant time; never raises, whatever was sent."""
        ...

    def sign(self, inbound: Inbound, now: int) -> Signed | Unsignable:
        """What its sender would add to the request, now in ms, by the first secret that is set; `verify` accepts it."""
        ...


class Scheme(Protocol):
    """A verification scheme: a module of router/intake/verify with these names inside."""

    @property
    def Options(self) -> type[Options]:  # noqa: N802 - a class by any other name
        """The model of the `verify` mapping without its `scheme`."""
        ...

    @property
    def DEFAULTS(self) -> Mapping[str, Any]:  # noqa: N802 - a constant of the module
        """Keys of the source that the scheme sets unless the file does, as written in YAML."""
        ...

    @property
    def PROFILE(self) -> SenderProfile:  # noqa: N802 - a constant of the module
        """What its provider sends beside the signature."""
        ...

    @property
    def compile(self) -> "Callable[[Any, Build], Verifier]":
        """Options in, Verifier out; faults go to the build."""
        ...
