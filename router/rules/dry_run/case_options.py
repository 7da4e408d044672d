"""The keys of a rule test."""

from typing import Any

from pydantic import Field

from router.plugins.options import Options


class ExpectOptions(Options):
    """The expected result."""

    rules: list[str] | None = Field(default=None, description="The exact set of rules that match; empty: none.")
    deliveries: list[dict[str, Any]] = Field(default_factory=list, description="Parts of deliveries that are planned.")
    events: int | None = Field(default=None, description="Of a polled source: the number of events of the answer.")


class CaseOptions(Options):
    """One rule test."""

    name: str = Field(min_length=1, description="What the case shows, in words.")
    source: str | None = Field(default=None, description="The source; optional when there is only one.")
    method: str | None = Field(default=None, description="The request's method; the source's first by default.")
    ip: str = Field(default="127.0.0.1", description="The sender's address.")
    params: dict[str, str] = Field(default_factory=dict, description="The named parts of the path.")
    received_at: str | None = Field(default=None, description="When it was received, with its zone; now.")
    headers: dict[str, Any] = Field(default_factory=dict, description="Request headers; a list for a repeated one.")
    query: dict[str, Any] = Field(default_factory=dict, description="Query parameters; a list for a repeated one.")
    content_type: str | None = Field(default=None, description="The body's type; application/json by default.")
    event: str | None = Field(
        default=None, description="Instead of source and payload: a kind of the router's own events, as an example."
    )
    payload: Any = Field(default=None, description="The payload itself, or {file: PATH} with the raw body.")
    body: str | None = Field(default=None, description="Instead of payload: the raw body, as text.")
    body_base64: str | None = Field(default=None, description="Instead of payload: the raw body, in base64.")
    expect: ExpectOptions = Field(description="The expected result.")
