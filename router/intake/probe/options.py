"""The options of a probe in the rules file."""

from typing import Annotated, Any

from pydantic import Field

from router.plugins.options import Options

Text = Annotated[str, Field(min_length=1)]


class WhenOptions(Options):
    """Constants that a probe must contain. What `echo` or `hmac` reads must be present too."""

    method: str | None = Field(default=None, pattern=r"^[A-Z]{1,20}$", description="The HTTP method.")
    header: dict[str, str] = Field(default_factory=dict, description="Headers and their values.")
    query: dict[str, str] = Field(default_factory=dict, description="Query parameters and their values.")
    form: dict[str, str] = Field(default_factory=dict, description="Form fields and their values.")
    json_: dict[str, Any] = Field(
        default_factory=dict, alias="json", description="Paths such as $.type, and their values."
    )


class ConstantOptions(Options):
    """An answer that is always the same."""

    status: Annotated[int, Field(ge=200, le=299)] = Field(default=200, description="HTTP status.")
    body: str | None = Field(default=None, description="The body, as text.")
    json_: Any = Field(default=None, alias="json", description="The body, as JSON.")
    headers: dict[str, str] = Field(default_factory=dict, description="More headers.")


class AnswerOptions(Options):
    """One of constant, echo and hmac."""

    constant: ConstantOptions | None = Field(default=None, description="Always the same.")
    echo: Text | None = Field(
        default=None, description="The field whose value is sent back: query.x, headers.x, form.x, $.x."
    )
    hmac: Text | None = Field(default=None, description="The field whose value is signed with the source's secret.")
    json_: dict[str, Text] | None = Field(
        default=None, alias="json", description="Keys of a JSON object, each with value or hmac; by default plain text."
    )
    header: Text | None = Field(default=None, description="The header that carries the answer, instead of a body.")


class ProbeOptions(Options):
    """A request with which the provider tests the address, and its answer."""

    when: WhenOptions = Field(default=WhenOptions(), description="What distinguishes the probe from an event.")
    answer: AnswerOptions = Field(description="The answer.")
    unsigned: bool = Field(default=False, description="The provider sends it without a signature.")
