"""What a probe reads from a request: its method, a header, a query parameter, a form field or a value of its JSON."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson

from router.domain.request import Inbound
from router.payload.form import is_form

MAX_BODY = 16 * 1024  #: bytes of a body that is read before verification; probes have some 200
_MAX_FIELDS = 50  #: of a query or a form
_JSON_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_-]*|\[[0-9]{1,3}\])*")
_STEP = re.compile(r"\.([^.\[]+)|\[([0-9]+)\]")
MISSING = object()  #: no such value, or more than one


@dataclass(frozen=True)
class ProbedRequest:
    """A request as probes see it. The payload counts only once the request is verified."""

    inbound: Inbound
    payload: Any = MISSING

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The query's parameters; empty if there are too many."""
        return _fields(self.inbound.query)

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The form's fields; empty if the body is not a form."""
        body = self.inbound.body
        return _fields(body.decode("latin-1")) if len(body) <= MAX_BODY and is_form(body) else []

    @cached_property
    def json(self) -> Any:
        """The body's JSON value."""
        if self.payload is not MISSING:
            return self.payload
        if len(self.inbound.body) > MAX_BODY:
            return MISSING
        try:
            return orjson.loads(self.inbound.body)
        except orjson.JSONDecodeError:
            return MISSING


Read = Callable[[ProbedRequest], Any]
"""One value of a request, or MISSING."""


def field_of(text: str) -> Read | None:
    """The reader for `headers.NAME`, `query.NAME`, `form.NAME` or `$.a.b[0]`; None for any other text."""
    kind, _, name = text.partition(".")
    if kind == "headers" and name:
        return lambda request: _single(request.inbound.named.all(name))
    if kind == "query" and name:
        return lambda request: _single([value for given, value in request.query if given == name])
    if kind == "form" and name:
        return lambda request: _single([value for given, value in request.form if given == name])
    if not _JSON_PATH.fullmatch(text):
        return None
    steps = [key or int(index) for key, index in _STEP.findall(text)]
    return lambda request: _walk(request.json, steps)


def _fields(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return []


def _single(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else MISSING


def _walk(value: Any, steps: list[str | int]) -> Any:
    for step in steps:
        is_there = (
            isinstance(value, list) and step < len(value)
            if isinstance(step, int)
            else isinstance(value, dict) and step in value
        )
        if not is_there:
            return MISSING
        value = value[step]
    return value
