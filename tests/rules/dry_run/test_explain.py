"""Explanations list the verdict of each condition, in the file's order, with the found and the expected values."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.domain.events import ParsedEvent
from router.rules.dry_run.explain import SHOWN_CHARACTERS, SHOWN_VALUES, explain
from tests.conftest import examples
from tests.rules.match.strategies import EVENTS, RULES, event
from tests.rules.match.test_index import only, ruleset_of

Parsed = Callable[..., ParsedEvent]


@examples(60)
@given(rules=st.lists(RULES, min_size=1, max_size=6), parsed=EVENTS)
def test_an_explanation_always_agrees_with_matching(rules: Any, parsed: ParsedEvent) -> None:
    ruleset = ruleset_of(rules)

    match, explained = ruleset.match(parsed), explain(ruleset, parsed)

    assert [rule.rule for rule in explained] == [rule.name for rule in ruleset.rules]
    assert [rule.rule for rule in explained if rule.verdict == "matched"] == [rule.name for rule in match.rules]
    assert [rule.rule for rule in explained if rule.verdict == "error"] == [name for name, _ in match.errors]
    for rule in explained:
        assert bool(rule.reason) == (rule.verdict != "matched")
        if rule.verdict == "matched":
            assert all(condition.holds for condition in rule.conditions)


def test_reasons_are_listed_in_the_order_of_the_file() -> None:
    ruleset = only({"$.ref": "refs/heads/main", "$.deleted": False})

    (rule,) = explain(ruleset, event({"ref": "refs/heads/dev", "deleted": True}))

    assert rule.reason == '$.ref is "refs/heads/dev"; asked: equals "refs/heads/main"'
    assert rule.as_json()["conditions"] == [
        {
            "path": "$.ref", "values": ["refs/heads/dev"], "found": 1, "operator": "equals",
            "operand": "refs/heads/main", "verdict": "fails",
            "reason": '$.ref is "refs/heads/dev"; asked: equals "refs/heads/main"',
        },
        {
            "path": "$.deleted", "values": [True], "found": 1, "operator": "equals", "operand": False,
            "verdict": "fails", "reason": "$.deleted is true; asked: equals false",
        },
    ]  # fmt: skip


def test_several_operators_are_explained_with_ignore_case() -> None:
    ruleset = only(
        {"$.a": {"prefix": "x", "suffix": "y", "ignore_case": True}},
        {"$.a": {"not": {"in": ["AB"], "ignore_case": True}}},
        {"$.a": {"equals": "X", "ignore_case": True}},
    )

    both, no, one = explain(ruleset, event({"a": "ab"}))

    assert both.reason == '$.a is "ab"; asked: {"prefix": "x", "suffix": "y", "ignore_case": true}'
    assert both.conditions[0].operator == "prefix, suffix, ignore_case"
    assert no.reason == '$.a is "ab"; asked: not {"in": ["AB"], "ignore_case": true}'
    assert one.conditions[0].operand == {"equals": "X", "ignore_case": True}


def test_missing_multiple_and_long_values_are_explained() -> None:
    ruleset = only({"$.a": 1}, {"$.b[*]": {"prefix": "x"}}, {"$.c": {"regex": "y"}})

    missing, several, long = explain(ruleset, event({"b": list("abcdefghijklmn"), "c": "z" * 5000}))

    assert missing.reason == "$.a is missing; asked: equals 1"
    assert several.conditions[0].found == 14
    assert len(several.conditions[0].values) == SHOWN_VALUES
    assert "and 4 more" in several.reason
    assert len(long.conditions[0].values[0]) == SHOWN_CHARACTERS


def test_combinators_are_explained_by_the_conditions_that_decide_them() -> None:
    ruleset = only(
        {"any": [{"$.a": 1}, {"$.b": 2}]}, {"none": [{"$.a": 3}, {"$.c": 4}]}, {"not": {"$.c": 4}}, {"$.c": {"not": 4}}
    )

    any_rule, none_rule, not_rule, field_rule = explain(ruleset, event({"c": 4}))

    assert any_rule.reason.startswith("none of any holds: $.a is missing")
    assert none_rule.reason == "none must hold, but $.c is 4; asked: equals 4"
    assert not_rule.reason == "not: all of $.c is 4; asked: equals 4"
    assert field_rule.reason == "$.c is 4; asked: not 4"
    assert [part.what for part in none_rule.conditions[0].parts] == ["$.a", "$.c"]


def test_a_rule_that_was_not_evaluated_says_why() -> None:
    stop = {"$.a": 1}
    ruleset = ruleset_of(
        [({"$.a": 2}, frozenset({"t"}), False), (stop, frozenset({"s"}), True), (stop, frozenset({"s"}), False)]
    )

    other, _, after = explain(ruleset, event({"a": 1}))

    assert (other.verdict, after.verdict) == ("not tried", "not tried")
    assert other.reason == 'the event came by source "s", the rule is for t'
    assert after.reason == 'rule "r1" above matched and stops'


def test_a_failing_path_is_explained_with_its_reason() -> None:
    (rule,) = explain(only({"$.a.`parent`.`parent`.`parent`": 1}), event({"a": 1}))

    assert rule.verdict == "error"
    assert "can't be followed" in rule.reason
    assert rule.conditions[0].as_json()["verdict"] == "error"


def test_an_age_is_explained_in_words() -> None:
    ruleset = only({"$.at": {"age": {"lt": "5m"}}})

    reasons = [explain(ruleset, event({"at": at}))[0].reason for at in ("2024-05-01T09:50:00Z", 1_714_557_630, "soon")]

    assert reasons[0] == '$.at is "2024-05-01T09:50:00Z", 10 m before the event; asked: age {"lt": "5m"}'
    assert reasons[1] == ""
    assert reasons[2] == '$.at is "soon", which is not a time with a zone; asked: age {"lt": "5m"}'
