"""Scheme hmac: any sender that signs its bodies with a shared key (RFC 2104)."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from router.domain.secrets import Secrets
from router.intake.verify.signature import KeyFormat, decoded_keys, resolve
from router.intake.verify.signed_header import HmacHeader
from router.intake.verify.signed_options import SignedHeaderOptions, signed_header
from router.plugins.build import Build
from router.plugins.scheme import SenderProfile, Verifier

DEFAULTS: Mapping[str, Any] = {}
PROFILE = SenderProfile(headers=("{header}", "{timestamp_header}"))


class Options(SignedHeaderOptions):
    """How the sender signs."""

    secret: Secrets = Field(description="The shared key, or a list of them for rotation.")
    key: KeyFormat = Field(default="text", description="How the secret writes the key: as it is, in hex, or in base64.")
    algorithm: Literal["sha1", "sha256", "sha512"] = Field(default="sha256", description="The hash.")
    encoding: Literal["hex", "base64"] = Field(
        default="hex", description="How the signature is written: lower-case hex digits, or base64."
    )


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    return HmacHeader(
        keys=decoded_keys(resolve(options.secret, build), options.key, build),
        signed=signed_header(options, build),
        algorithm=options.algorithm,
        encoding=options.encoding,
    )
