"""Filters that encode and decode: base64, hashes, HMAC, JSON."""

import base64
import binascii
import hashlib
import hmac
from typing import Any

from router.domain.errors import PayloadError, RenderError
from router.payload.json_text import read_json
from router.templates.environment import RenderContext
from router.templates.filters.registry import template_filter
from router.templates.text import Mask, as_text

ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512")
_TAKEN = f"hmac takes one of {', '.join(ALGORITHMS)}, then hex or base64"
_CODED_PER_STEP = 16  #: characters that are hashed or coded in one step
_READ_PER_STEP = 1  #: characters of JSON that are read in one step: each may become a value


def _bytes(c: RenderContext, value: Any, what: str) -> bytes:
    return as_text(c.budget.charge_value(value, what, _CODED_PER_STEP)).encode(errors="surrogateescape")


@template_filter("b64encode")
def _b64encode(c: RenderContext, value: Any, urlsafe: bool = False) -> str:
    data = _bytes(c, value, "b64encode")
    c.budget.charge_text(len(data) * 4 // 3 + 4, "b64encode", _CODED_PER_STEP)
    if isinstance(value, Mask):
        return value  # a preview shows the secret's name
    return (base64.urlsafe_b64encode(data) if urlsafe else base64.b64encode(data)).decode()


@template_filter("b64decode")
def _b64decode(c: RenderContext, value: Any) -> str:
    data = _bytes(c, value, "b64decode").translate(None, b" \t\r\n").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(data.rstrip(b"=") + b"=" * (-len(data.rstrip(b"=")) % 4), validate=True).decode()
    except (binascii.Error, ValueError):  # a UnicodeDecodeError is one
        raise RenderError("b64decode takes base64 of a UTF-8 text") from None


def _hash_filter(name: str) -> None:
    @template_filter(name)
    def _hash(c: RenderContext, value: Any) -> str:
        return hashlib.new(name, _bytes(c, value, name), usedforsecurity=False).hexdigest()


for _name in ALGORITHMS:
    _hash_filter(_name)


def check_algorithm(algorithm: Any) -> None:
    """Raise RenderError unless hmac has this algorithm."""
    if algorithm not in ALGORITHMS:
        raise RenderError(_TAKEN)


def check_encoding(encoding: Any) -> None:
    """Raise RenderError unless hmac has this encoding."""
    if encoding not in ("hex", "base64"):
        raise RenderError(_TAKEN)


@template_filter("hmac")
def _hmac(c: RenderContext, value: Any, key: str, algorithm: str = "sha256", encoding: str = "hex") -> str:
    data = _bytes(c, value, "hmac")
    c.budget.charge(20)
    check_algorithm(algorithm)
    check_encoding(encoding)
    if not isinstance(key, str) or not key:
        raise RenderError("hmac takes a declared secret: hmac(secrets.name)")
    if isinstance(key, Mask):
        return Mask(key.replace("<secret:", f"<hmac-{algorithm} by secret:"))
    c.budget.charge_text(len(key), "hmac", _CODED_PER_STEP)
    made = hmac.digest(key.encode(errors="surrogateescape"), data, algorithm)
    return made.hex() if encoding == "hex" else base64.b64encode(made).decode()


@template_filter("fromjson")
def _fromjson(c: RenderContext, value: Any) -> Any:
    text = as_text(value)
    c.budget.charge_text(len(text), "fromjson", _READ_PER_STEP)
    try:
        return read_json(text.encode(errors="replace"), "the text")
    except PayloadError as error:
        raise RenderError(f"fromjson: {error}") from None
