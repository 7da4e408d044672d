"""The request bodies of the API, as models; their descriptions are part of the OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from router.admin.api.parameters import TIME_FORM

MAX_IDS = 10_000  #: of one request; send more in another request

ReplayState = Literal["pending", "succeeded", "dead", "cancelled", "skipped"]
CancelState = Literal["pending", "running", "dead"]
Ids = list[str]


class RequestBody(BaseModel):
    """Base of all bodies: strict types, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DeliveryFilter(RequestBody):
    """The chosen deliveries: those that meet every given condition."""

    rule: str | None = Field(default=None, description="Those of this rule.")
    action: str | None = Field(default=None, description="Those of actions with this name.")
    target: str | None = Field(default=None, description="Those to this target.")
    source: str | None = Field(default=None, description="Those whose event came in by this source.")
    event: str | None = Field(default=None, description="Those of this event (an id).")
    since: str | None = Field(default=None, description=f"Those planned since then: {TIME_FORM}.")
    until: str | None = Field(default=None, description=f"Those planned before then: {TIME_FORM}.")


class EventsFilter(RequestBody):
    """The chosen events: those that meet every given condition."""

    source: str | None = Field(default=None, description="Those that came in by this source.")
    since: str | None = Field(default=None, description=f"Those received since then: {TIME_FORM}.")
    until: str | None = Field(default=None, description=f"Those received before then: {TIME_FORM}.")


_IDS = Field(default=None, min_length=1, max_length=MAX_IDS, description="Those with these ids, instead of a filter.")
_ALL = Field(default=False, description="Choose all; required without ids and without a filter.")
_DRY = Field(default=False, description="Report what would be done, and change nothing.")
_GO_ON = Field(default=None, description="Where to continue: the `next` of an answer, with the same filter.")


class _Change(RequestBody):
    ids: Ids | None = _IDS
    filter: DeliveryFilter | None = Field(default=None, description="All that it finds.")
    all: bool = _ALL
    dry_run: bool = _DRY
    cursor: str | None = _GO_ON


class ReplayDeliveries(_Change):
    """The deliveries to make again."""

    states: list[ReplayState] | None = Field(
        default=None,
        min_length=1,
        description="Those in these states. Default: dead; of those with ids, any but succeeded and skipped.",
    )


class CancelDeliveries(_Change):
    """The deliveries to cancel."""

    states: list[CancelState] | None = Field(
        default=None, min_length=1, description="Those in these states. Default: pending; of those with ids, any."
    )


class ReplayEvents(RequestBody):
    """The events to deliver again, or to plan again under the running rules."""

    ids: Ids | None = _IDS
    filter: EventsFilter | None = Field(default=None, description="With reroute: all that it finds.")
    reroute: bool = Field(default=False, description="Plan them again under the rules that run.")
    again: bool = Field(default=False, description="With reroute: also deliveries that an event already has.")
    states: list[ReplayState] | None = Field(
        default=None, min_length=1, description="Without reroute: only their deliveries in these states. Default: any."
    )
    dry_run: bool = _DRY
    cursor: str | None = _GO_ON


class PauseTarget(RequestBody):
    """The duration of a pause."""

    duration: str | None = Field(
        default=None, alias="for", description="Resume automatically after this time, such as 2h; by default never."
    )


Texts = dict[str, str | list[str]]


class TestRequest(RequestBody):
    """A request, as a sender would make it, or an event in the store."""

    event: str | None = Field(default=None, description="The id of a stored event, in place of everything else.")
    source: str | None = Field(default=None, description="The source; optional when there is only one.")
    payload: Any = Field(
        default=None, description="The payload, which is written in its content type: a form, text, or JSON."
    )
    body: str | None = Field(default=None, description="The raw body, instead of a payload.")
    body_base64: str | None = Field(default=None, description="The raw body in base64, instead of a payload.")
    content_type: str | None = Field(
        default=None, description="Of the body; application/json unless a header says otherwise."
    )
    headers: Texts = Field(default_factory=dict, description="Request headers; a list for a repeated one.")
    query: Texts = Field(default_factory=dict, description="Query parameters; a list for a repeated one.")
    params: dict[str, str] = Field(default_factory=dict, description="The named parts of the source's path.")
    received_at: str | None = Field(default=None, description="When it was received, ISO 8601 with its zone; now.")
    method: str | None = Field(
        default=None, pattern="^[A-Z]{1,20}$", description="The request's method; the source's first by default."
    )
    ip: str = Field(default="127.0.0.1", description="The sender's address.")
    explain: bool = Field(default=True, description="Say why each rule matched or did not.")
