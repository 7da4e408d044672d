"""Secrets: the rules file names where they come from; they are resolved when it loads, and masked whenever shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError

from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.trust import exposure

MAX_FILE_BYTES = 64 * 1024  #: of a secret file: keys and certificates have some 8 KiB, so a larger file is a mistake
#: `check` warns of a shorter secret (characters); the minimum of NIST SP 800-63B for passwords that people choose
SHORTEST = 8


class Secret:
    """A resolved secret. Only `reveal` gives its value; everything else shows its name."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str | None) -> None:
        self.name = name
        self._value = value

    @property
    def is_set(self) -> bool:
        """False for a secret that is not set on this machine; only `check` and `test` accept that."""
        return self._value is not None

    def reveal(self) -> str:
        """The value. Raises ValueError for an unset secret, which would be a bug of the caller."""
        if self._value is None:
            raise ValueError(f"secret {self.name} is not set")
        return self._value

    def reveal_bytes(self) -> bytes:
        """The value as bytes, exactly as they were: an environment variable may hold bytes that are not UTF-8."""
        return self.reveal().encode("utf-8", "surrogateescape")

    def has_value_of(self, other: "Secret") -> bool:
        """Whether both have the same value, or both are unset."""
        return self._value == other._value  # noqa: SLF001 - of the same class

    def __repr__(self) -> str:
        return f"<secret:{self.name}>"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Found:
    """The result of resolving a secret."""

    secret: Secret | None
    fault: str = ""  #: why it is missing, or why it should not be used
    is_blank: bool = False  #: it was set, but to an empty or blank value


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
    optional: bool = False  #: may be unset; for rotation lists, in which one must be set

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"env {self.env}" if self.env is not None else f"file {self.file}"

    def resolve(self, base_dir: Path, environ: Mapping[str, str], *, trusting: bool = False) -> Found:
        """The secret, or the reason why there is none. A blank one counts as unset: an empty key lets anyone sign.

        `trusting`: a file that others can write is used too, and comes with its fault.
        """
        if self.env is not None:
            value = environ.get(self.env)
            if value is None:
                return Found(None, f"environment variable {self.env} is not set")
            return self._checked(value, f"environment variable {self.env}")
        path, fault = base_dir / str(self.file), ""
        try:
            text = read_file(path, MAX_FILE_BYTES).decode()
            exposed = exposure(path)
            if exposed is not None:
                fault = f"secret file {self.file}: {exposed.sentence('choose the secret')}"
                if not trusting:
                    return Found(None, fault)
        except UnicodeDecodeError:
            return Found(None, f"secret file {self.file} is not UTF-8 text")
        except Unreadable as error:
            return Found(None, f"secret file {self.file} can't be read: {error}")
        except ValueError:
            return Found(None, f"secret file {self.file!r} is not a path")
        return self._checked(text.removesuffix("\n").removesuffix("\r"), f"secret file {self.file}", fault)

    def _checked(self, value: str, where: str, fault: str = "") -> Found:
        if not value:
            return Found(None, f"{where} is empty", is_blank=True)
        if not any(c.isprintable() and not c.isspace() for c in value):
            return Found(None, f"{where} is blank", is_blank=True)
        return Found(Secret(self.name, value), fault)


_FORM = "write {env: NAME} or {file: PATH}"


def check_form(value: Any) -> str:
    """The mistake in how a secret is written; empty when there is none."""
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


SECRET_SCHEMA = {
    "type": "object",
    "properties": {
        "env": {"type": "string", "minLength": 1},
        "file": {"type": "string", "minLength": 1},
        "optional": {"type": "boolean"},
    },
    "additionalProperties": False,
    **_EITHER,
}

OneSecret = Annotated[SecretRef, BeforeValidator(_one), WithJsonSchema(SECRET_SCHEMA)]
"""A field with one secret."""

Secrets = Annotated[
    tuple[OneSecret, ...],
    BeforeValidator(_many),
    WithJsonSchema({"anyOf": [SECRET_SCHEMA, {"type": "array", "items": SECRET_SCHEMA, "minItems": 1}]}),
]
"""A field with one secret or, for rotation, a list of them."""
