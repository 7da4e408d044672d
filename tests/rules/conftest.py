"""Fixtures that make events and conditions for the tests of the rule language."""

from collections.abc import Callable
from typing import Any

import pytest

from router.domain.events import Event, ParsedEvent
from router.rules.compile.match import parse_match
from router.rules.match.conditions import Condition
from router.rules.match.fields import FieldValues
from router.rules.yaml.document import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport


def _parsed(payload: Any, *, form: bool = False, **event: Any) -> ParsedEvent:
    given: dict[str, Any] = {
        "id": "event",
        "source": "github",
        "method": "POST",
        "path": "/hooks/github",
        "query": "",
        "headers": (),
        "body": b"",
        "ip": "192.0.2.7",
        "received_at": 0,
    } | event
    return ParsedEvent(Event(**given), payload, form)


def _condition(text: str) -> Condition:
    report = ProblemReport("rules.yaml")
    condition = parse_match(NodePath(report, read(text)[0], "match"))
    assert not report.problems, report.problems
    return condition


@pytest.fixture
def parsed() -> Callable[..., ParsedEvent]:
    """Return a function that makes an event with a payload."""
    return _parsed


@pytest.fixture
def condition() -> Callable[[str], Condition]:
    """Return a function that compiles a `match` mapping without problems."""
    return _condition


@pytest.fixture
def matches() -> Callable[..., bool]:
    """Return a function that says whether a `match` mapping holds for a payload."""
    return lambda text, payload, **event: _condition(text).holds(FieldValues(_parsed(payload, **event)))


@pytest.fixture
def problems() -> Callable[[str], list[str]]:
    """Return a function that lists the problems of a `match` mapping."""

    def find(text: str) -> list[str]:
        report = ProblemReport("rules.yaml")
        parse_match(NodePath(report, read(text)[0], "match"))
        return [str(problem) for problem in report.sorted()]

    return find
