"""The index finds the same rules as a loop over all rules, and evaluates few of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.domain.deliveries import RulesetText
from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.rules.compile.match import parse_match
from router.rules.compile.scope import Scope
from router.rules.match.conditions import Condition
from router.rules.match.fields import FieldValues
from router.rules.match.index_keys import MAX_KEYS
from router.rules.rule import Rule
from router.rules.ruleset import Match as Answer
from router.rules.ruleset import Ruleset
from router.rules.yaml.document import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport
from tests.cases import each
from tests.conftest import examples
from tests.rules.match.strategies import EVENTS, JSON, RULES, GeneratedRule, Match, event

SCOPE = Scope(params=frozenset({"team"}))


def compiled(match: Match) -> Condition:
    """Compile a `match` mapping without problems."""
    report = ProblemReport("x")
    condition = parse_match(NodePath(report, read(json.dumps(match))[0], ""), SCOPE)
    assert not report.failed, report.problems
    return condition


def ruleset_of(matches: list[GeneratedRule]) -> Ruleset:
    """A ruleset with these rules, named r0, r1 …"""
    rules = tuple(Rule(f"r{i}", sources, compiled(match), (), stop) for i, (match, sources, stop) in enumerate(matches))
    return Ruleset(RulesetText("", "", ""), rules, {}, {})


def only(*matches: Match) -> Ruleset:
    """A ruleset with one source."""
    return ruleset_of([(match, frozenset({"s"}), False) for match in matches])


def by_loop(ruleset: Ruleset, parsed: ParsedEvent) -> Answer:
    """The verdict of a ruleset on an event, found by evaluating each rule in turn."""
    matched: list[Rule] = []
    errors: list[tuple[str, str]] = []
    for rule in ruleset.rules:
        if parsed.event.source not in rule.sources:
            continue
        try:
            holds = rule.condition.holds(FieldValues(parsed))
        except EvaluationError as error:
            errors.append((rule.name, str(error)))
            continue
        if holds:
            matched.append(rule)
            if rule.stop:
                break
    return Answer(tuple(matched), tuple(errors))


def _candidates(ruleset: Ruleset, parsed: ParsedEvent) -> list[int]:
    return list(ruleset.candidates(FieldValues(parsed)))


@examples(40)
@given(rules=st.lists(RULES, min_size=1, max_size=12), events=st.lists(EVENTS, min_size=1, max_size=4))
@example(rules=[({"$..a": 1, "$.a.`parent`.`parent`": 1}, frozenset({"s"}), False)], events=[event({"a": 1})])
def test_the_index_matches_the_same_rules_as_a_loop(rules: list[GeneratedRule], events: list[ParsedEvent]) -> None:
    ruleset = ruleset_of(rules)

    for parsed in events:
        assert ruleset.match(parsed) == by_loop(ruleset, parsed)


@each(
    ("match", "hit", "miss"),
    [
        ({"$.a": "x"}, {"a": "x"}, {"a": "y"}),
        ({"$.a": 1}, {"a": 1.0}, {"a": True}),
        ({"$.a": None}, {"a": None}, {}),
        ({"$.a": ["x", 1]}, {"a": 1}, {"a": "1"}),
        ({"$.a": {"equals": "X", "ignore_case": True}}, {"a": "x"}, {"a": "y"}),
        ({"$.a": {"prefix": "ab"}}, {"a": "abc"}, {"a": "a"}),
        ({"$.a": {"suffix": "bc"}}, {"a": "abc"}, {"a": "c"}),
        ({"$.a": {"contains": "ell"}}, {"a": "hello"}, {"a": "help"}),
        ({"$.a": {"contains": "x"}}, {"a": ["x"]}, {"a": ["y"]}),
        ({"$.a": {"contains": 1}}, {"a": [1.0]}, {"a": [True]}),
        ({"$.a": {"regex": "v[0-9]+-rc"}}, {"a": "v12-rc1"}, {"a": "v12"}),
        ({"$.a": {"glob": "refs/*/main"}}, {"a": "refs/heads/main"}, {"a": "main"}),
        ({"$.a": {"glob": "*heads*"}}, {"a": "refs/heads/main"}, {"a": "refs/tags/main"}),
        ({"$.a": {"gte": 5, "lt": 7}}, {"a": 6}, {"a": 8}),
        ({"$.a": {"gte": "b", "lt": "d"}}, {"a": "c"}, {"a": "d0"}),
        ({"$.a": {"gt": "b"}}, {"a": "ba"}, {"a": "ab"}),
        ({"$.a": {"lte": "b"}}, {"a": ""}, {"a": "ba"}),
        ({"$.a": {"prefix": ["x", "ab"]}}, {"a": "abc"}, {"a": "a"}),
        ({"$.a": {"contains": ["x", 1]}}, {"a": [1]}, {"a": ["y"]}),
        ({"$.a": {"cidr": ["11.0.0.0/8", "10.0.0.0/8"]}}, {"a": "10.1.2.3"}, {"a": "12.1.2.3"}),
        ({"$.a": {"equals_field": "$.b"}}, {"a": 1, "b": 1}, {"b": 1}),
        ({"$.a": {"age": {"gt": "5m"}}}, {"a": "2024-05-01T09:00:00Z"}, {"b": 1}),
        ({"$.a": "x", "weekday": "wed"}, {"a": "x"}, {"a": "y"}),
        ({"$.a": {"cidr": "10.0.0.0/8"}}, {"a": "10.1.2.3"}, {"a": "11.1.2.3"}),
        ({"$.a": {"exists": True}}, {"a": None}, {"b": 1}),
        ({"$.a[*].b": "x"}, {"a": [{"b": "y"}, {"b": "x"}]}, {"a": [{"b": "y"}]}),
        ({"$.a[*]": {"every": "x"}}, {"a": ["x"]}, {"a": ["y"]}),
        ({"any": [{"$.a": "x"}, {"$.b": "y"}]}, {"b": "y"}, {"a": "y"}),
        ({"$.a": "x", "not": {"$.b": 1}}, {"a": "x"}, {"a": "y"}),
        ({"$.a": {"prefix": "x", "not": "xy"}}, {"a": "xz"}, {"a": "y"}),
    ],
)
def test_conditions_of_each_shape_are_indexed(match: Match, hit: Any, miss: Any) -> None:
    ruleset = only(match)

    assert _candidates(ruleset, event(hit)) == [0]
    assert _candidates(ruleset, event(miss)) == []


def test_fields_outside_the_payload_are_indexed() -> None:
    ruleset = only({"headers.X": "a"}, {"query.q": {"gt": 5}}, {"ip": {"cidr": "10.0.0.0/8"}}, {"method": "PUT"})

    assert _candidates(ruleset, event({}, headers=(("x", "a"),), ip="11.0.0.1")) == [0]
    assert _candidates(ruleset, event({}, query="q=7")) == [1, 2]
    assert _candidates(ruleset, event({}, method="PUT", ip="11.0.0.1")) == [3]


def test_a_rule_is_indexed_by_its_rarest_key() -> None:
    ruleset = only(*[{"headers.X-GitHub-Event": "push", "$.repository.full_name": f"acme/{i}"} for i in range(1000)])

    parsed = event({"repository": {"full_name": "acme/7"}}, headers=(("X-GitHub-Event", "push"),))

    assert _candidates(ruleset, parsed) == [7]


def test_a_rule_without_a_key_is_evaluated_for_every_event() -> None:
    ruleset = only({"$.a": {"not": "x"}}, {"$.a": {"exists": False}}, {"none": [{"$.a": 1}]}, {"$.b": 1})

    assert _candidates(ruleset, event({})) == [0, 1, 2]


def test_a_rule_with_too_many_alternatives_is_not_indexed() -> None:
    ruleset = only({"$.a": {"in": [f"v{i}" for i in range(MAX_KEYS + 1)]}}, {"$.a": {"in": ["w", "v"]}})

    assert _candidates(ruleset, event({"a": "v"})) == [0, 1]
    assert _candidates(ruleset, event({"a": "u"})) == [0]


@examples(40)
@given(values=st.lists(JSON, min_size=1, max_size=6), rules=st.lists(RULES, max_size=5), form=st.booleans())
def test_hundreds_of_values_need_as_many_lookups_as_a_few(
    values: list[Any], rules: list[GeneratedRule], form: bool
) -> None:
    own: list[Match] = [{"$.a[*]": {"equals": value}} for value in values]
    own += [{"$.a[*]": {"contains": 1}}, {"$.a[*]": {"gt": 1}}, {"$.a[*]": {"exists": True}}, {"$.a[*]": {"length": 1}}]
    ruleset = ruleset_of([*((match, frozenset({"s"}), False) for match in own), *rules])
    parsed = event({"a": values * 300}, form=form)

    assert ruleset.match(parsed) == by_loop(ruleset, parsed)
    assert len(ruleset.match(parsed).rules) >= min(len(values), 1)


def test_each_field_is_read_once_per_event(monkeypatch: pytest.MonkeyPatch) -> None:
    from router.rules.match.fields import PayloadField

    counted: list[str] = []
    real: Callable[[PayloadField, ParsedEvent], list[Any]] = PayloadField.values

    def values(self: PayloadField, parsed: ParsedEvent) -> list[Any]:
        counted.append(self.text)
        return real(self, parsed)

    monkeypatch.setattr(PayloadField, "values", values)
    ruleset = only(*[{"$..a": "x", "$.b[*]": {"not": f"{i}"}} for i in range(20)])

    assert len(ruleset.match(event({"a": "x", "b": ["y"]})).rules) == 20

    assert sorted(counted) == ["$..a", "$.b[*]"]


def test_the_index_filters_many_patterns_of_one_field() -> None:
    ruleset = only(*[{"$.a": {"regex": f"^release-{i}-[a-z]{{1,50}}$"}} for i in range(3000)])

    assert _candidates(ruleset, event({"a": "release-2999-abc"})) == [2999]
