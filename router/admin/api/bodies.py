"""What requests carry: JSON, read strictly. What isn't known is refused."""

from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from router.admin.api.parameters import TIME_FORM
from router.admin.api.replies import refused
from router.domain.nearest_word import did_you_mean, shortened
from router.domain.reply import Reply
from router.operate.parse_time import parse_time
from router.payload.json_text import nested_deeper

MOST_IDS = 10_000  #: of one request; further ones are another request's
MAX_DEPTH = 210  #: of JSON: a payload may be 200 deep, and what it stands in is not

_M = TypeVar("_M", bound="Asked")

ReplayState = Literal["pending", "succeeded", "dead", "cancelled"]
CancelState = Literal["pending", "running", "dead"]
Ids = list[str]


class Asked(BaseModel):
    """Base of all."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DeliveryFilter(Asked):
    """Which deliveries are meant: those for which everything given holds."""

    rule: str | None = Field(default=None, description="Those of this rule.")
    action: str | None = Field(default=None, description="Those of actions with this name.")
    target: str | None = Field(default=None, description="Those to this target.")
    source: str | None = Field(default=None, description="Those whose event came in by this source.")
    event: str | None = Field(default=None, description="Those of this event (an id).")
    since: str | None = Field(default=None, description=f"Those planned since then: {TIME_FORM}.")
    until: str | None = Field(default=None, description=f"Those planned before then: {TIME_FORM}.")


class EventsFilter(Asked):
    """Which events are meant: those for which everything given holds."""

    source: str | None = Field(default=None, description="Those that came in by this source.")
    since: str | None = Field(default=None, description=f"Those received since then: {TIME_FORM}.")
    until: str | None = Field(default=None, description=f"Those received before then: {TIME_FORM}.")


_IDS = Field(default=None, min_length=1, max_length=MOST_IDS, description="Those with these ids, instead of a filter.")
_ALL = Field(default=False, description="All of them: needed when neither ids nor a filter say which.")
_DRY = Field(default=False, description="Say what would be done, and change nothing.")
_GO_ON = Field(default=None, description="Where to go on: the `next` of an answer, with the same filter.")


class _Change(Asked):
    ids: Ids | None = _IDS
    filter: DeliveryFilter | None = Field(default=None, description="All that it finds.")
    all: bool = _ALL
    dry_run: bool = _DRY
    cursor: str | None = _GO_ON


class ReplayDeliveries(_Change):
    """Which deliveries to make again."""

    states: list[ReplayState] | None = Field(
        default=None,
        min_length=1,
        description="Those in these states. Default: dead; of those with ids, any but succeeded.",
    )


class CancelDeliveries(_Change):
    """Which deliveries to give up."""

    states: list[CancelState] | None = Field(
        default=None, min_length=1, description="Those in these states. Default: pending; of those with ids, any."
    )


class ReplayEvents(Asked):
    """Which events to deliver again, or to plan again under the running rules."""

    ids: Ids | None = _IDS
    filter: EventsFilter | None = Field(default=None, description="With reroute: all that it finds.")
    reroute: bool = Field(default=False, description="Plan them again under the rules that run.")
    again: bool = Field(default=False, description="With reroute: also what an event has a delivery of already.")
    states: list[ReplayState] | None = Field(
        default=None, min_length=1, description="Without reroute: only their deliveries in these states. Default: any."
    )
    dry_run: bool = _DRY
    cursor: str | None = _GO_ON


Texts = dict[str, str | list[str]]


class TestRequest(Asked):
    """A request, as a sender would make it, or an event that is in the store."""

    event: str | None = Field(default=None, description="An event in the store (an id), instead of all else.")
    source: str | None = Field(default=None, description="Where it comes in; may be left out while there is one.")
    payload: Any = Field(
        default=None, description="The payload, which is written as its content type asks: a form, text, or JSON."
    )
    body: str | None = Field(default=None, description="The raw body, instead of a payload.")
    body_base64: str | None = Field(default=None, description="The raw body in base64, instead of a payload.")
    content_type: str | None = Field(
        default=None, description="Of the body; application/json unless a header says otherwise."
    )
    headers: Texts = Field(default_factory=dict, description="Request headers; a list for a repeated one.")
    query: Texts = Field(default_factory=dict, description="Query parameters; a list for a repeated one.")
    method: str | None = Field(
        default=None, pattern="^[A-Z]{1,20}$", description="The request's method; the source's first by default."
    )
    ip: str = Field(default="127.0.0.1", description="The sender's address.")
    explain: bool = Field(default=True, description="Say why each rule matched or did not.")


def read_json(body: bytes, model: type[_M]) -> _M | Reply:
    """What the body says, or what is wrong with it, the first thing."""
    if not body:
        return refused(400, "the body is empty; send a JSON object")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return refused(400, f"the body is not valid JSON: line {error.lineno}, column {error.colno}")
    if nested_deeper(body, content, MAX_DEPTH):
        return refused(400, f"the body is nested deeper than {MAX_DEPTH} levels")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        return _refusal(error.errors(include_url=False, include_input=False)[0], model)


def times_of(given: DeliveryFilter | EventsFilter, now: int) -> dict[str, int | None] | Reply:
    """From when to when, ms; or what is wrong with one of the two."""
    times: dict[str, int | None] = {}
    for name, value in (("since", given.since), ("until", given.until)):
        try:
            times[name] = None if value is None else parse_time(value, now)
        except ValueError as error:
            return refused_key(f"filter.{name}", str(error))
    return times


def refused_key(name: str, message: str) -> Reply:
    """A 400 that names a key of the body."""
    return refused(400, f"{name}: {message}", parameter=name)


def _refusal(detail: ErrorDetails, model: type[BaseModel]) -> Reply:
    # Types among the steps say which branch of a union complained.
    steps = [str(step) for step in detail["loc"] if step not in ("str", "list[str]")]
    name, kind = shortened(".".join(steps)), detail["type"]
    if kind == "extra_forbidden":
        known = _keys(model, steps)
        return refused_key(name, f"unknown key{did_you_mean(steps[-1], known) or '; known: ' + ', '.join(known)}")
    if not steps:
        return refused(400, "the body is no JSON object; send one")
    if len(steps) < len(detail["loc"]):
        return refused_key(name, "expected text, or a list of texts")
    message = detail["msg"].removeprefix("Input should be ")
    return refused_key(name, f"expected {message}" if message != detail["msg"] else message)


def _keys(model: type[BaseModel], steps: list[str]) -> list[str]:
    """The keys of the model in which the last step stands."""
    for step in steps[:-1]:
        annotation = model.model_fields[step].annotation
        model = next(one for one in getattr(annotation, "__args__", ()) if isinstance(one, type))
    return list(model.model_fields)
