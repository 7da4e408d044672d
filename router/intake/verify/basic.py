"""Scheme basic: a user name and a password in `Authorization: Basic …` (RFC 7617). They are removed after
verification."""

import base64
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
    """User name and password."""

    username: str = Field(min_length=1, description="The user name.")
    secret: Secrets = Field(description="The password, or a list of them for rotation.")


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    if ":" in options.username:
        build.fault("a user name can't hold a colon, which ends it", "username")
    user = options.username.encode() + b":"
    allowed = tuple(base64.b64encode(user + password) for password in key_bytes(resolve(options.secret, build)))
    return Credential(
        allowed, header="Authorization", prefix="Basic ", challenge='Basic realm="webhooks", charset="UTF-8"'
    )
