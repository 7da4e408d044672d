"""Public keys in a JWKS (RFC 7517), from a file or an address."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt as pyjwt
import orjson
from pydantic import Field

from router.domain.errors import Level
from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.trust import exposure
from router.intake.verify.fetched import Fetched, fetched
from router.plugins.build import Build, Fault
from router.plugins.options import Options as Base

MAX_JWKS_BYTES = 256 * 1024
Keys = Mapping[str, Any]
"""Keys by their kid. Keys without a kid are under the empty name."""


class JwksOptions(Base):
    """Where the public keys are."""

    file: str | None = Field(default=None, description="A file with a JWKS.")
    url: str | None = Field(default=None, description="The https address of a JWKS.")


def jwks_keys(options: JwksOptions, build: Build) -> Keys | Fetched[Keys]:
    """The keys; those of an address are fetched when they are needed. Faults go to the build."""
    if (options.file is None) == (options.url is None):
        build.fault("expected exactly one of file and url", "jwks")
        return {}
    if options.url is not None:
        if not _is_safe(options.url):
            build.fault("expected an https address", "jwks", "url")
        return fetched(options.url, read_jwks)
    return _from_file(str(options.file), build)


def _from_file(file: str, build: Build) -> Keys:
    """The keys in a file. It must be as safe as a secret's file: somebody who can add a key can sign tokens."""
    path = build.base_dir / file
    build.protected.add(path, "a key set")
    level = Level.ERROR if build.require_secrets else Level.NOTE  # as for a secret file
    exposed = exposure(path)
    if exposed is not None:
        fault = f"key set {file}: {exposed.sentence('choose the keys')}"
        build.faults.append(Fault(("jwks", "file"), fault, level))
    try:
        return read_jwks(read_file(path, MAX_JWKS_BYTES))
    except Unreadable as error:
        build.faults.append(Fault(("jwks", "file"), f"{file} can't be read: {error}", level))
    except ValueError as error:
        build.fault(f"{file} is not a JWKS: {error}", "jwks", "file")
    return {}


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or not url.isascii() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))


def read_jwks(text: bytes) -> Keys:
    """The public keys of a JWKS. Raises ValueError."""
    try:
        found = pyjwt.PyJWKSet.from_dict(orjson.loads(text))
    except (pyjwt.PyJWTError, orjson.JSONDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"it holds no usable key ({type(error).__name__})") from None
    keys = {key.key_id or "": key.key for key in found.keys if key.key_type in ("RSA", "EC", "OKP")}
    if not keys:
        raise ValueError("it holds no public key")
    return keys
