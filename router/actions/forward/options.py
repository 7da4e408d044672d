"""The options of a forward in the rules file."""

from typing import Annotated, Any, Literal

from pydantic import Field

from router.domain.secrets import OneSecret
from router.domain.units import Duration, Rate, Size
from router.plugins.connection import ConnectionOptions
from router.plugins.options import Options
from router.plugins.target import BreakerField


class SignOptions(Options):
    """Signing by Standard Webhooks."""

    secret: OneSecret = Field(description="The key, as whsec_… or base64.")


class ForwardOptions(ConnectionOptions):
    """Send the event to an HTTP service."""

    url: str | None = Field(default=None, description="Where to; a template. Either url or target.")
    target: str | None = Field(default=None, description="The name of a target, whose url and limits are used.")
    path: str | None = Field(default=None, description="Appended to the target's url; a template that begins with /.")
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"] = Field(default="POST", description="HTTP method.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers to set; values are templates.")
    pass_headers: list[str] | None = Field(
        default=None, description="Globs of the event's headers to pass, instead of the harmless ones."
    )
    body: Any = Field(default="original", description="original, payload, item, {json: …}, {form: …} or {text: …}.")
    timeout: Duration | None = Field(default=None, description="Limit of the whole attempt; 30s.")
    connect_timeout: Duration = Field(default=10.0, description="Limit of connecting.")
    read_timeout: Duration | None = Field(default=None, description="Limit between two reads of the response; timeout.")
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Attempts under way at once; 16."
    )
    rate: Rate | None = Field(default=None, description="Attempts started in a time, such as 50/s.")
    breaker: BreakerField | None = Field(
        default=None, description="When the host counts as down, and when it is tried again; none: never."
    )
    allow_hosts: list[str] = Field(default_factory=list, description="Hosts that a templated authority may name.")
    sign: SignOptions | None = Field(default=None, description="Sign by Standard Webhooks.")
    response_limit: Size = Field(default=64 * 1024, description="How much of a response is read.")
