"""Scheme gitlab: a secret token in X-Gitlab-Token, or a signing token by Standard Webhooks.

docs.gitlab.com, "Webhooks". A secret that begins with `whsec_` is a signing token; any other is a secret token. A list
may hold both while a webhook moves from one to the other. The token is removed from the request in any case.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.secrets import Secrets
from router.domain.units import Duration
from router.intake.verify.credentials import credential_header
from router.intake.verify.headers import one_header
from router.intake.verify.signature import resolve
from router.intake.verify.standard_webhooks import SECRET_PREFIX, StandardWebhooks, shared_key
from router.intake.verify.times import TOLERANCE_SECONDS
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import (
    SenderProfile,
    SenderProof,
    SignedParts,
    Unsignable,
    Unverified,
    Verified,
    Verifier,
    VerifyFailure,
)

HEADER = "X-Gitlab-Token"
DEFAULTS: Mapping[str, Any] = {
    "dedupe": {"key": "headers.Idempotency-Key", "window": "24h"},  # stays the same when GitLab repeats a delivery
}
PROFILE = SenderProfile(event="X-Gitlab-Event", ids=("X-Gitlab-Event-UUID", "Idempotency-Key"), headers=("X-Gitlab-*",))


class Options(Base):
    """The token or tokens."""

    secret: Secrets = Field(description="The secret token, or a whsec_… signing token; or a list of them for rotation.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")


@dataclass(frozen=True, slots=True)
class GitLab:
    """Verifies either kind."""

    tokens: tuple[bytes, ...]
    signing: StandardWebhooks
    verifies: bool = True

    @property
    def signed_parts(self) -> SignedParts | None:
        """See Verifier.signed_parts. With both kinds of token every request counts as signed."""
        return self.signing.signed_parts if self.signing.keys else None

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:
        """See Verifier.verify."""
        if self.signing.keys and (not self.tokens or "webhook-signature" in inbound.named):
            result = self.signing.verify(inbound, now)
            if isinstance(result, Unverified):
                return result
        else:
            given = one_header(inbound, HEADER)
            if isinstance(given, Unverified):
                return given
            good = False
            for token in self.tokens:
                good |= hmac.compare_digest(token, given.encode())
            if not good:
                return Unverified(VerifyFailure.MISMATCH, "the token is not one of the secrets")
        return Verified(without_credentials(inbound, header=HEADER))

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:
        """See Verifier.sign."""
        return credential_header(HEADER, self.tokens[0]) if self.tokens else self.signing.sign(inbound, now)


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    tokens: list[bytes] = []
    keys: list[bytes] = []
    for i, secret in enumerate(resolve(options.secret, build)):
        if secret.is_set and secret.reveal().startswith(SECRET_PREFIX):
            keys += shared_key(secret, build, i)
        elif secret.is_set:
            tokens.append(secret.reveal_bytes())
    return GitLab(tuple(tokens), StandardWebhooks(tuple(keys), (), tolerance=options.tolerance))
