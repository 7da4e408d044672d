"""Plain credentials: compared unchanged, then removed, so that they are never stored, matched, forwarded or shown."""

import hmac
import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote_plus

from router.domain.credentials import CREDENTIALS, parameter_name, without_credentials
from router.domain.request import Inbound
from router.intake.verify.headers import one_header
from router.plugins.scheme import SenderProof, Unsignable, Unverified, Verified, VerifyFailure

NO_SECRET = Unsignable("its secret is not set")
_IN_A_HEADER = re.compile(r"[!-~]([ -~]*[!-~])?")  #: values that a header can carry unchanged


@dataclass(frozen=True, slots=True)
class Credential:
    """Compares the value of a header or a query parameter, and removes it."""

    allowed: tuple[bytes, ...]  #: the accepted values as sent, after the prefix
    header: str | None = None
    prefix: str = ""
    query: str | None = None
    challenge: str = ""  #: WWW-Authenticate of a refusal
    verifies: bool = True
    signed_parts: None = None

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:  # noqa: ARG002 - the common signature
        """See Verifier.verify."""
        given = one_header(inbound, self.header) if self.header is not None else self._parameter(inbound)
        if isinstance(given, Unverified):
            return replace(given, challenge=self.challenge)
        text = self._without_prefix(given)
        if text is None:
            return Unverified(VerifyFailure.MALFORMED, "the credential does not begin with the prefix", self.challenge)
        sent, good = text.encode(), False
        for allowed in self.allowed:
            good |= hmac.compare_digest(allowed, sent)
        if not good:
            return Unverified(VerifyFailure.MISMATCH, "the credential is not one of the secrets", self.challenge)
        return Verified(without_credentials(inbound, header=self.header, query=self.query))

    def _without_prefix(self, given: str) -> str | None:
        if (self.header or "").lower() in CREDENTIALS:
            # An authentication scheme's name ignores case (RFC 9110, section 11.1). The value after it doesn't.
            name, blank, _ = self.prefix.partition(" ")
            if blank and given[: len(name)].lower() == name.lower():
                given = name + given[len(name) :]
        return given.removeprefix(self.prefix) if given.startswith(self.prefix) else None

    def _parameter(self, inbound: Inbound) -> str | Unverified:
        found = [part for part in inbound.query.split("&") if parameter_name(part) == self.query]
        if not found:
            return Unverified(VerifyFailure.MISSING, "the query parameter is missing")
        if len(found) > 1:
            return Unverified(VerifyFailure.MALFORMED, "the query parameter was sent twice")
        return unquote_plus(found[0].partition("=")[2])

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:  # noqa: ARG002 - the common signature
        """See Verifier.sign."""
        if not self.allowed:
            return NO_SECRET
        if self.header is not None:
            return credential_header(self.header, self.prefix.encode() + self.allowed[0])
        try:
            self.allowed[0].decode()
        except UnicodeDecodeError:
            return Unsignable("its secret is not UTF-8, so a query can't carry it; choose another secret")
        pair = f"{quote(self.query or '', safe='')}={quote(self.allowed[0], safe='')}"
        return SenderProof(query=pair, is_credential=True)


def credential_header(name: str, value: bytes) -> SenderProof | Unsignable:
    """The header with the secret itself, if a header can carry it."""
    text = value.decode("latin-1")
    if not _IN_A_HEADER.fullmatch(text):
        return Unsignable("its secret is not plain ASCII without blanks around it, so a header can't carry it")
    return SenderProof(((name, text),), is_credential=True)
