"""The source of the router's own events, which no rules file defines."""

from dataclasses import dataclass

from router.domain.own_events import PATH, SOURCE
from router.domain.request import Inbound
from router.plugins.scheme import SenderProof, Unsignable, Unverified, VerifyFailure
from router.rules.source import Source


@dataclass(frozen=True, slots=True)
class _NoSender:
    """Nobody can send such events."""

    verifies: bool = True
    signed_parts: None = None

    def verify(self, inbound: Inbound, now: int) -> Unverified:  # noqa: ARG002 - see Verifier.verify
        """See Verifier.verify."""
        return Unverified(VerifyFailure.MISMATCH, "the router's own events are sent by nobody")

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:  # noqa: ARG002 - see Verifier.sign
        """See Verifier.sign."""
        return Unsignable("the router's own events are sent by nobody")


OWN_SOURCE = Source(SOURCE, PATH, _NoSender(), scheme="own", parse="json")
