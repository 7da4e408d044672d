"""Scheme none: anybody who reaches the port may send. It has to be said."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, Signed, Unverified, Verified, Verifier

DEFAULTS: Mapping[str, Any] = {}
PROFILE = SenderProfile()


class Options(Base):
    """Nothing to say."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Verifies nothing."""

    verifies: bool = False
    signed: None = None

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:  # noqa: ARG002 - the common signature
        """Let it in."""
        return Verified(without_credentials(inbound))

    def sign(self, inbound: Inbound, now: int) -> Signed:  # noqa: ARG002 - the common signature
        """See Verifier.sign."""
        return Signed()


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001, ARG001 - the name every scheme module has
    """Options in, Verifier out."""
    return Nobody()
