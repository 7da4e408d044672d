"""Secrets: named in the rules file by where they come from, resolved when it loads, masked whenever shown."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError


class Secret:
    """A resolved secret. Only `reveal` gives its value; everything else shows its name."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str | None) -> None:
        self.name = name
        self._value = value

    @property
    def is_set(self) -> bool:
        """False for a secret that this machine doesn't have (only `check` and `test` go on then)."""
        return self._value is not None

    def reveal(self) -> str:
        """The value. An unset secret has none: asking for it is a mistake of ours."""
        if self._value is None:
            raise ValueError(f"secret {self.name} is not set")
        return self._value

    def reveal_bytes(self) -> bytes:
        """The value as the bytes it came from: an environment variable may hold some that are no UTF-8."""
        return self.reveal().encode("utf-8", "surrogateescape")

    def has_value_of(self, other: "Secret") -> bool:
        """Whether both have the same value, or none."""
        return self._value == other._value  # noqa: SLF001 - of the same class

    def __repr__(self) -> str:
        return f"<secret:{self.name}>"

    __str__ = __repr__


_EITHER: dict[str, Any] = {"oneOf": [{"required": ["env"]}, {"required": ["file"]}]}


class SecretRef(BaseModel):
    """Where a secret comes from: exactly one of an environment variable and a file."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra=_EITHER,
    )

    env: str | None = None
    file: str | None = None
    optional: bool = False  #: may be unset; for rotation lists, of which one must be present

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return f"env {self.env}" if self.env is not None else f"file {self.file}"

    def resolve(self, base_dir: Path, environ: Mapping[str, str]) -> tuple[Secret | None, str]:
        """The secret, or none and why not; an empty one counts as unset, since an empty key lets anyone sign."""
        if self.env is not None:
            value = environ.get(self.env)
            if value is None:
                return None, f"environment variable {self.env} is not set"
            if not value:
                return None, f"environment variable {self.env} is empty"
            return Secret(self.name, value), ""
        try:
            text = (base_dir / str(self.file)).read_bytes().decode()
        except OSError as error:
            return None, f"secret file {self.file} can't be read: {os.strerror(error.errno or 0)}"
        except UnicodeDecodeError:
            return None, f"secret file {self.file} is not UTF-8 text"
        except ValueError:
            return None, f"secret file {self.file!r} is not a path"
        value = text.removesuffix("\n").removesuffix("\r")
        return (Secret(self.name, value), "") if value else (None, f"secret file {self.file} is empty")


_FORM = "write {env: NAME} or {file: PATH}"


def check_form(value: Any) -> str:
    """What is wrong with the form of a secret as it was written; empty when nothing is."""
    if isinstance(value, str | int | float):
        return "a secret is never written in the rules file; " + _FORM
    if not isinstance(value, dict):
        return "expected a secret; " + _FORM
    if ("env" in value) == ("file" in value):
        return "expected exactly one of env and file; " + _FORM
    if not (value.get("env", "x") and value.get("file", "x")):
        return "the name is empty; " + _FORM
    return ""


def _one(value: Any) -> Any:
    fault = check_form(value)
    if fault:
        raise PydanticCustomError("secret_form", "{fault}", {"fault": fault})
    return value


def _many(value: Any) -> Any:
    if isinstance(value, list):
        if not value:
            raise PydanticCustomError("secret_form", "the list of secrets is empty; " + _FORM)
        return tuple(value)
    return (value,)


_SCHEMA = {
    "type": "object",
    "properties": {
        "env": {"type": "string", "minLength": 1},
        "file": {"type": "string", "minLength": 1},
        "optional": {"type": "boolean"},
    },
    "additionalProperties": False,
    **_EITHER,
}

OneSecret = Annotated[SecretRef, BeforeValidator(_one), WithJsonSchema(_SCHEMA)]
"""A field that names one secret."""

Secrets = Annotated[
    tuple[OneSecret, ...],
    BeforeValidator(_many),
    WithJsonSchema({"anyOf": [_SCHEMA, {"type": "array", "items": _SCHEMA, "minItems": 1}]}),
]
"""A field that names one secret or a list of them, for rotation."""
