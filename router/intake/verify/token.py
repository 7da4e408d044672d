"""Scheme token: a shared secret in a header or a query parameter, removed after verification."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from router.domain.secrets import Secrets
from router.intake.verify.credentials import Credential
from router.intake.verify.headers import check_header
from router.intake.verify.signature import key_bytes, resolve
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, Verifier

DEFAULTS: Mapping[str, Any] = {}
PROFILE = SenderProfile()


class Options(Base):
    """The token and its place in the request."""

    secret: Secrets = Field(description="The token, or a list of them for rotation.")
    header: str | None = Field(default=None, description="The header that carries it. Either header or query.")
    prefix: str = Field(default="", description="The text before it in the header, such as 'Token '.")
    query: str | None = Field(default=None, description="The query parameter that carries it.")


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    if (options.header is None) == (options.query is None):
        build.fault("expected exactly one of header and query")
    if options.header is not None:
        check_header(options.header, build, "header")
    if options.query is not None and not options.query:
        build.fault("expected a parameter's name", "query")
    if options.prefix and options.query is not None:
        build.fault("prefix needs header", "prefix")
    if not options.prefix.isascii():
        build.fault("expected plain ASCII", "prefix")
    allowed = key_bytes(resolve(options.secret, build))
    return Credential(allowed, header=options.header, prefix=options.prefix, query=options.query)
