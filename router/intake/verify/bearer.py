"""Scheme bearer: a shared secret in `Authorization: Bearer …` (RFC 6750). It is removed after verification."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from router.domain.secrets import Secrets
from router.intake.verify.credentials import Credential
from router.intake.verify.signature import key_bytes, resolve
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, Verifier

DEFAULTS: Mapping[str, Any] = {}
PROFILE = SenderProfile()


class Options(Base):
    """The shared secret."""

    secret: Secrets = Field(description="The token, or a list of them for rotation.")


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    allowed = key_bytes(resolve(options.secret, build))
    return Credential(allowed, header="Authorization", prefix="Bearer ", challenge='Bearer realm="webhooks"')
