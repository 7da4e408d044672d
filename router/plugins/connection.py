"""How the router authenticates to a server and connects to it: the keys `auth`, `tls` and `proxy`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from router.domain.secrets import SECRET_SCHEMA, OneSecret, SecretRef, check_form
from router.plugins.options import Options

_SECRET_KEYS = {"env", "file", "optional"}


def _text_or_secret(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, dict):
        raise PydanticCustomError("user_form", "expected text, or a secret: {form}", {"form": "{env: NAME}"})
    fault = check_form(value)
    if not fault and (unknown := sorted(map(str, value.keys() - _SECRET_KEYS))):
        fault = f'unknown key "{unknown[0]}" of a secret; known: env, file, optional'
    if fault:
        raise PydanticCustomError("secret_form", "{fault}", {"fault": fault})
    return SecretRef.model_validate(value)


User = Annotated[
    str | SecretRef,
    BeforeValidator(_text_or_secret),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, SECRET_SCHEMA]}),
]
"""A user's name: text, or a secret."""


class BasicOptions(Options):
    """HTTP basic authentication (RFC 7617)."""

    username: User = Field(description="The user's name: text, or a secret.")
    password: OneSecret | None = Field(default=None, description="The password; empty when left out.")


class AuthOptions(Options):
    """How the router authenticates. Exactly one of basic, bearer, and header with value."""

    basic: BasicOptions | None = Field(default=None, description="Sent as Authorization: Basic.")
    bearer: OneSecret | None = Field(default=None, description="Sent as Authorization: Bearer.")
    header: str | None = Field(default=None, description="A header of your choice, such as X-Api-Key.")
    value: OneSecret | None = Field(default=None, description="With header: its value.")


class TlsOptions(Options):
    """Which server is trusted, and the router's own certificate. All files are PEM."""

    ca: str | None = Field(default=None, description="File: the authorities that are trusted instead of the system's.")
    cert: str | None = Field(default=None, description="File: the client certificate, then those that lead to its CA.")
    key: str | None = Field(default=None, description="File: the private key of cert, without a passphrase.")


class ProxyOptions(Options):
    """An HTTP proxy, and who uses it."""

    url: str = Field(description="http://host:port, constant.")
    username: User | None = Field(default=None, description="The user's name there: text, or a secret.")
    password: OneSecret | None = Field(default=None, description="The password there.")


def _proxy(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


ProxyField = Annotated[
    ProxyOptions,
    BeforeValidator(_proxy),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": "^http://"}, ProxyOptions.model_json_schema()]}),
]
"""A URL, or a mapping."""


class ConnectionOptions(Options):
    """The keys that a forward and a target share."""

    auth: AuthOptions | None = Field(default=None, description="Who calls: basic, bearer, or a header of your choice.")
    tls: TlsOptions | None = Field(default=None, description="Files of certificates: ca, cert and key.")
    proxy: ProxyField | None = Field(default=None, description="An HTTP proxy to go through: a URL, or {url, …}.")
