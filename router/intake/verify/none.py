"""Scheme none: anybody who reaches the port may send. It is never a default; a source must name it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, SenderProof, Unverified, Verified, Verifier

DEFAULTS: Mapping[str, Any] = {}
PROFILE = SenderProfile()


class Options(Base):
    """It has no options."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Verifies nothing."""

    verifies: bool = False
    signed_parts: None = None

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:  # noqa: ARG002 - the common signature
        """Accept every request."""
        return Verified(without_credentials(inbound))

    def sign(self, inbound: Inbound, now: int) -> SenderProof:  # noqa: ARG002 - the common signature
        """See Verifier.sign."""
        return SenderProof()


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001, ARG001 - the name every scheme module has
    """Compile the options to a verifier."""
    return Unchecked()
