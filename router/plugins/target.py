"""Targets of actions and their limits."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from router.domain.units import Duration, shown
from router.plugins.options import Options


class BreakerSpec(Options):
    """When a target counts as down, and how it is tested then."""

    failures: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=10, description="Failures in a row that open it. With fewer, one restart of the target would open it."
    )
    pause: Duration = Field(
        default=5.0, description="The first pause before a test attempt; doubled when the test fails."
    )
    max_pause: Duration = Field(
        default=60.0,
        description="The longest pause. A target that works again is noticed after this time at the latest.",
    )


def pause_warning(breaker: BreakerSpec) -> str | None:
    """The warning of a pause that is longer than max_pause; None for others."""
    if breaker.pause <= breaker.max_pause:
        return None
    pause, longest = shown(breaker.pause), shown(breaker.max_pause)
    return f"pause ({pause}) is longer than max_pause ({longest}), so max_pause holds; set both"


_NONE = "none"
NO_BREAKER = BreakerSpec.model_construct(failures=2**62)  #: the breaker never opens

BreakerField = Annotated[
    BreakerSpec,
    BeforeValidator(lambda value: NO_BREAKER if value == _NONE else value),
    WithJsonSchema({"anyOf": [{"const": _NONE}, BreakerSpec.model_json_schema()]}),
]
"""`none`, or a mapping."""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target of actions, with the limits that they share."""

    key: str  #: the target's name, else the origin of a literal url, else rule/action
    concurrency: int  #: attempts under way at once
    rate: float | None = None  #: attempts started a second; None: no limit
    url: str | None = None  #: base URL of a named target (a template; its authority literal or one whole secret)
    breaker: BreakerSpec = NO_BREAKER
    paused: bool = False  #: the rules file pauses it: its deliveries wait
    connection: Any = None  #: of a named target: its auth, tls and proxy, compiled by its action type
