"""Reads a request's JSON body into its model. Unknown keys and wrong types are refused."""

from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router.admin.api.replies import body_problem, problem_reply
from router.admin.api.request_models import DeliveryFilter, EventsFilter, RequestBody
from router.domain.nearest_word import did_you_mean, shortened
from router.domain.reply import Reply
from router.operate.parse_time import parse_time
from router.payload.json_text import nested_deeper

MAX_DEPTH = 210  #: of JSON: a payload of 200 levels, and the levels of the body around it

_M = TypeVar("_M", bound=RequestBody)


def read_json(body: bytes, model: type[_M]) -> _M | Reply:
    """The body as its model, or a reply with its first mistake."""
    if not body:
        return problem_reply(400, "the body is empty; send a JSON object")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return problem_reply(400, f"the body is not valid JSON: line {error.lineno}, column {error.colno}")
    if nested_deeper(body, content, MAX_DEPTH):
        return problem_reply(400, f"the body is nested deeper than {MAX_DEPTH} levels")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        return _validation_problem(error.errors(include_url=False, include_input=False)[0], model)


def times_of(chosen: DeliveryFilter | EventsFilter, now: int) -> dict[str, int | None] | Reply:
    """`since` and `until` in ms, or a reply that says which is wrong."""
    times: dict[str, int | None] = {}
    for name, value in (("since", chosen.since), ("until", chosen.until)):
        try:
            times[name] = None if value is None else parse_time(value, now)
        except ValueError as error:
            return body_problem(f"filter.{name}", str(error))
    return times


def _validation_problem(detail: ErrorDetails, model: type[BaseModel]) -> Reply:
    # In a union, one of the steps is the name of the branch.
    steps = [str(step) for step in detail["loc"] if step not in ("str", "list[str]")]
    name, kind = shortened(".".join(steps)), detail["type"]
    if kind == "extra_forbidden":
        known = _keys(model, steps)
        return body_problem(name, f"unknown key{did_you_mean(steps[-1], known) or '; known: ' + ', '.join(known)}")
    if not steps:
        return problem_reply(400, "the body is not a JSON object; send one")
    if len(steps) < len(detail["loc"]):
        return body_problem(name, "expected text, or a list of texts")
    message = detail["msg"].removeprefix("Input should be ")
    return body_problem(name, f"expected {message}" if message != detail["msg"] else message)


def _keys(model: type[BaseModel], steps: list[str]) -> list[str]:
    """The keys of the model that the last step belongs to."""
    for step in steps[:-1]:
        annotation = model.model_fields[step].annotation
        model = next(one for one in getattr(annotation, "__args__", ()) if isinstance(one, type))
    return list(model.model_fields)
