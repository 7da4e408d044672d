"""Scheme token: a shared secret sent as it is, in a header or a query parameter. It goes no further than here."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from pydantic import Field

from router.intake.verify.credentials import parameter_name, without_credentials
from router.intake.verify.hmac import HEADER_NAME
from router.intake.verify.signature import one_header, resolve
from router.model import Inbound
from router.plugins import Build, Refused, Verified, Verifier
from router.plugins import Options as Base
from router.secrets import Secret, Secrets

DEFAULTS: Mapping[str, Any] = {}


class Options(Base):
    """Where the token is."""

    secret: Secrets = Field(description="The token, or a list of them for rotation.")
    header: str | None = Field(default=None, description="The header that carries it. Either header or query.")
    prefix: str = Field(default="", description="What stands before it in the header, such as 'Token '.")
    query: str | None = Field(default=None, description="The query parameter that carries it.")


@dataclass(frozen=True, slots=True)
class Token:
    """Compares a token."""

    secrets: tuple[Secret, ...]
    header: str | None
    prefix: str
    query: str | None
    verifies: bool = True

    def verify(self, inbound: Inbound, now: int) -> Verified | Refused:  # noqa: ARG002 - the common signature
        """See Verifier.verify."""
        given = one_header(inbound, self.header) if self.header is not None else self._parameter(inbound)
        if isinstance(given, Refused):
            return given
        if not given.startswith(self.prefix):
            return Refused("the token does not begin with the prefix")
        token, good = given.removeprefix(self.prefix).encode(), False
        for secret in self.secrets:
            if secret.is_set:
                good |= hmac.compare_digest(secret.reveal().encode(), token)
        if not good:
            return Refused("the token is not one of the secrets")
        return Verified(without_credentials(inbound, header=self.header, query=self.query))

    def _parameter(self, inbound: Inbound) -> str | Refused:
        found = [part for part in inbound.query.split("&") if parameter_name(part) == self.query]
        if len(found) != 1:
            return Refused("the query parameter is missing" if not found else "the query parameter was sent twice")
        return unquote_plus(found[0].partition("=")[2])


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    if (options.header is None) == (options.query is None):
        build.fault("expected exactly one of header and query")
    if options.header is not None and not HEADER_NAME.fullmatch(options.header):
        build.fault("a header's name is letters, digits and -", "header")
    if options.query is not None and not options.query:
        build.fault("expected a parameter's name", "query")
    if options.query is not None and options.prefix:
        build.fault("prefix goes with header", "prefix")
    return Token(resolve(options.secret, build), options.header, options.prefix, options.query)
