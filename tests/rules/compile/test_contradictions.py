"""`check` warns of a condition that no event can satisfy, and of no other condition."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.daemon.registries import REGISTRIES
from router.domain.errors import EvaluationError, Level
from router.domain.events import ParsedEvent
from router.rules.compile.contradictions import cannot_hold
from router.rules.compile.loader import Loader
from router.rules.match.fields import FieldValues
from router.rules.yaml.problems import MAX_PROBLEMS
from tests.cases import each
from tests.conftest import examples
from tests.rules.match.strategies import EVENTS, MATCHES, Match
from tests.rules.match.test_index import compiled

Problems = Callable[[str], list[str]]


@each(
    ("match", "place", "reason"),
    [
        # in one map of operators
        ("$.a: {exists: false, equals: 1}", "1:7", "equals needs a value and exists: false forbids one"),
        ("$.a: {exists: false, every: 1}", "1:7", "exists: false forbids one"),
        ("$.a: {exists: true, not: {exists: true}}", "1:7", "exists: false forbids one"),
        ("$.a: {gt: 5, lte: 5}", "1:14", "nothing is gt 5 and lte 5"),
        ("$.a: {gt: 1, gte: 7, lt: 3}", "1:22", "nothing is gte 7 and lt 3"),
        ("$.a: {length: {gte: 3, lt: 3}}", "1:7", "nothing is gte 3 and lt 3"),
        ("$.a: {contains: 1, prefix: x}", "1:20", "prefix needs text and contains needs a list"),
        ("$.a: {equals: {b: 1}, contains: x}", "1:23", "contains needs a list or text and equals needs a mapping"),
        ("$.a: {equals: true, length: 1}", "1:21", "length needs"),
        ("$.a: {equals: x, prefix: y}", "1:7", "the value fails prefix"),
        ("$.a: {in: [1, 2], gt: 5}", "1:7", "the value fails gt"),
        ("$.a: {in: [a, b], regex: '^c'}", "1:7", "the value fails regex"),
        ("$.a: {equals: x, in: [y, z]}", "1:7", "the value fails in"),
        ("$.a: {equals: x, not: x}", "1:18", "equals must hold, and not: excludes it"),
        ("$.a: {prefix: x, not: {prefix: x}}", "1:18", "prefix must hold, and not: excludes it"),
        ("$.a: {in: [x, y], not: [y, x, z]}", "1:19", "not excludes the value of in"),
        ("$.a[*]: {every: x, equals: y}", "1:20", "the value fails equals beside it"),
        ("$.a[*]: {every: x, not: x}", "1:20", "and not: excludes it"),
        ("$.a: {every: {gt: 5, lt: 3}}", "1:22", "nothing is gt 5 and lt 3"),
        ("$.a: [{gt: 5, lt: 3}, x]", "1:15", "nothing is gt 5 and lt 3"),
        ("path: {gt: 1}", "1:8", "gt needs a number and the field is text"),
        ("headers.X: {contains: {a: 1}, gt: 1}", "", ""),  # another check makes this an error
        ("ip: 10.0.0.0/8", "1:1", '"10.0.0.0/8" is not an address; a network goes below cidr:'),
        # in several conditions that must hold together
        ("{$.a: x, all: [{$.a: y}]}", "1:10", "$.a: the value fails equals beside it"),
        ("all: [{$.a: x}, {$.a: y}]", "1:1", "$.a: the value fails equals beside it"),
        ("all: [{$.a: {gt: 5}}, {$.a: {lt: 3}}]", "1:1", "nothing is gt 5 and lt 3"),
        ('{"$.a[0].b": x, all: [{"$.a[0].b": y}]}', "1:17", "the value fails equals"),
        ("{$.a: {exists: false}, all: [{$.a: x}]}", "1:24", "exists: false forbids one"),
        ('{"$.a[*]": {exists: false}, all: [{"$.a[*]": x}]}', "1:29", "exists: false forbids one"),
        ("{$.a: x, not: {$.a: x}}", "1:10", "and not: excludes it"),
        ("{$.a: x, none: [{$.b: 1}, {$.a: [x, y]}]}", "1:10", "not excludes the value of equals"),
        ("{$.a: {exists: false}, $.a.b: x}", "1:24", "something below it has to be there"),
        ("{$.a: x, $.a.b: y}", "1:10", "equals needs text and what stands below it needs a mapping"),
        ("{$.a: x, any: [{$.a: x}, {$.a: y}]}", "1:26", "the value fails equals"),
        ("any: [{$.b: 1}, {$.a: {gt: 5, lt: 3}}]", "1:31", "nothing is gt 5 and lt 3"),
    ],
)
def test_a_contradiction_gets_one_warning(problems: Problems, match: str, place: str, reason: str) -> None:
    found = [problem for problem in problems(match) if ": warning: " in problem]

    if not reason:
        assert found == []
        return
    assert len(found) == 1, found
    assert found[0].startswith(f"rules.yaml:{place}: warning: ")
    assert "this can't hold" in found[0]
    assert reason in found[0]


@each(
    "match",
    [
        "$.a: {prefix: '1', gt: 5}",  # in the payload of a form
        "$.a: {equals: '12', gt: 5}",
        "$.a: {length: 2, gt: 5}",
        "$.a: {equals: AB, prefix: ab, ignore_case: true}",
        "$.a: {prefix: straße, length: 6, ignore_case: true}",
        "$.a: {exists: false, not: x}",
        "$.a[*]: {equals: x, not: y}",
        '{"$.a[*]": x, all: [{"$.a[*]": y}]}',
        '{"$.a[0,1]": x, all: [{"$.a[0,1]": y}]}',
        "{headers.X: x, all: [{headers.X: y}]}",
        "{$..a: x, all: [{$..a: y}]}",
        "{$.a: {exists: true}, $.a.b: x}",
        "{$.a: {length: 2}, $.a.b: x}",
        '{"$.a[*].b": {exists: false}, $.a: {length: 1}}',
        "all: [{$.a: {prefix: ab}}, {$.a: {prefix: abc}}, {$.a: {suffix: c}}, {$.a: {suffix: bc}}]",
        "{$.a: {gte: 5, lte: 5}}",
        "{$.a: x, any: [{$.a: x}, {$.b: y}]}",
        "{$.a: [x, y], not: {$.a: x}}",
        "{not: {$.a: x, $.b: y}, $.a: x}",
        "ip: ['10.0.0.1', '::1']",
        "$.a: {contains: x, prefix: x}",
        "$.a: {length: {gt: 0.5, lt: 1.5}}",
    ],
)
def test_a_satisfiable_condition_gets_no_warning(problems: Problems, match: str) -> None:
    assert problems(match) == []


@examples(80)
@given(match=MATCHES, events=st.lists(EVENTS, min_size=1, max_size=5))
def test_a_generated_condition_that_holds_gets_no_warning(match: Match, events: list[ParsedEvent]) -> None:
    condition = compiled(match)

    if cannot_hold([condition]) is not None:
        for parsed in events:
            try:
                assert not condition.holds(FieldValues(parsed)), cannot_hold([condition])
            except EvaluationError:
                continue


@pytest.mark.parametrize(
    ("match", "warning"),
    [
        ("{method: GET}", "method is always one of POST, PUT here, by the rule's sources"),
        ("{method: post}", "method is always one of POST, PUT here"),
        ("{source: other}", "source is always one of s here"),
        ("{path: {prefix: /api}}", "path is always one of /hooks/s here"),
        ("{any: [{source: s}, {source: t}]}", "source is always one of s here"),
    ],
)
def test_a_condition_on_another_source_gets_a_warning(tmp_path: Path, match: str, warning: str) -> None:
    text = f"""
sources: {{s: {{verify: none, methods: [POST, PUT]}}, t: {{verify: none}}}}
rules:
  - {{name: r, source: s, match: {match}, actions: [append: x]}}
  - {{name: u, source: t, match: {{method: POST, path: /hooks/t, source: t}}, actions: [append: x]}}
"""
    loaded = Loader(REGISTRIES, {}).load(text, "rules.yaml", tmp_path)

    assert [problem.level for problem in loaded.problems] == [Level.WARNING]
    assert warning in loaded.problems[0].message


def test_thousands_of_unreachable_rules_are_found_quickly(tmp_path: Path) -> None:
    rules = "\n".join(f"  - {{name: r{i}, actions: [append: x], stop: true}}" for i in range(5000))

    loaded = Loader(REGISTRIES, {}).load(f"sources: {{s: {{verify: none}}}}\nrules:\n{rules}\n", "r", tmp_path)

    assert len(loaded.problems) == MAX_PROBLEMS + 1  # the last warning counts the others
