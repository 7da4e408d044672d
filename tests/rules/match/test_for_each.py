"""Rules with `for_each` are evaluated for each item, with the same result as the reference implementation."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.deliveries import RulesetText
from router.domain.errors import EvaluationError
from router.domain.items import place_of, value_at
from router.rules.compile.match import parse_match
from router.rules.compile.scope import Scope
from router.rules.dry_run.explain import explain
from router.rules.match.for_each import ForEach, for_each, item_list
from router.rules.match.jsonpath import PathError, compile_items
from router.rules.rule import Rule
from router.rules.ruleset import Match as Answer
from router.rules.ruleset import Ruleset
from router.rules.yaml.document import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport
from tests.conftest import examples
from tests.rules.match.reference_matcher import holds, places
from tests.rules.match.strategies import JSON, Match, event

SOURCES = frozenset({"s"})
ALERTS = {
    "status": "firing",
    "alerts": [{"labels": {"severity": s, "a b": [s]}} for s in ("page", "info", "page", "critical")],
}


def _rule(name: str, match: Match, path: str | None = None, *, stop: bool = False, most: int = 1_000) -> Rule:
    report = ProblemReport("x")
    condition = parse_match(NodePath(report, read(json.dumps(match))[0], ""), Scope(has_item=path is not None))
    assert not report.failed, report.problems
    found: ForEach | None = None if path is None else for_each(item_list(path), most, condition)
    return Rule(name, SOURCES, condition, (), stop, for_each=found)


def _match(payload: Any, *rules: Rule) -> Answer:
    return Ruleset(RulesetText("", "", ""), rules, {}, {}).match(event(payload))


def _places(answer: Answer) -> dict[str, list[str]]:
    return {name: [item.place for item in items] for name, items in answer.items.items()}


_ITEM_TESTS = st.one_of(
    st.sampled_from(
        [1, "a", None, [1, "a"], {"not": 1}, {"exists": True}, {"exists": False}, {"gt": 0}, {"prefix": "a"}]
    ),
    st.sampled_from([{"every": {"gt": 0}}, {"equals_field": "$.b"}, {"equals_field": "item.b"}, {"in": [True, "b"]}]),
)
_ITEM_FIELDS = st.sampled_from(["item", "item.a", "item.b", "item.a[*]", "item.a[0]", "item['b']", "item.a.b"])
_OF_ITEM = st.dictionaries(_ITEM_FIELDS, _ITEM_TESTS, min_size=1, max_size=2)
_OF_EVENT = st.tuples(st.sampled_from(["$.b", "$.c"]), st.sampled_from([1, "a", {"exists": True}, {"not": 1}])).map(
    lambda parts: {parts[0]: parts[1]}
)
_COMBINED = st.one_of(
    st.just({}),
    _OF_EVENT,
    _OF_ITEM,
    st.tuples(_OF_ITEM, _OF_EVENT).map(lambda parts: {**parts[0], **parts[1]}),
    st.lists(_OF_ITEM, min_size=1, max_size=2).map(lambda listed: {"any": listed}),
    _OF_ITEM.map(lambda match: {"not": match}),
    st.tuples(_OF_ITEM, _OF_EVENT).map(lambda parts: {"any": list(parts)}),
)
_RULES = st.lists(
    st.tuples(_COMBINED, st.sampled_from(["$.a[*]", "$.b[*]", "$.*", "$.a[*].b[*]"]) | st.none(), st.booleans()),
    min_size=1,
    max_size=5,
)
_PAYLOADS = st.dictionaries(st.sampled_from("abc"), JSON | st.lists(JSON, max_size=4), min_size=1, max_size=3)


@examples(100)
@given(rules=_RULES, payload=_PAYLOADS)
def test_items_are_selected_as_by_the_reference_implementation(
    rules: list[tuple[Match, str | None, bool]], payload: Any
) -> None:
    compiled = []
    for i, (match, path, stop) in enumerate(rules):
        plain = {key: asked for key, asked in match.items() if "item" not in json.dumps([key, asked])}
        compiled.append(_rule(f"r{i}", match if path else plain, path, stop=stop))
    expected: dict[str, list[str] | None] = {}
    hidden: set[str] = set()
    for (match, path, stop), rule in zip(rules, compiled, strict=True):
        if path is None:
            plain = {key: asked for key, asked in match.items() if "item" not in json.dumps([key, asked])}
            if holds(plain, event(payload)):
                expected[rule.name] = None
                if stop:
                    break
            continue
        found = [place for place in places(path, match, event(payload)) or [] if place not in hidden]
        if found:
            expected[rule.name] = found
            hidden |= set(found) if stop else set()

    answer = _match(payload, *compiled)
    explained = explain(Ruleset(RulesetText("", "", ""), tuple(compiled), {}, {}), event(payload))

    assert answer.errors == ()
    assert {rule.name: _places(answer).get(rule.name) for rule in answer.rules} == expected
    assert [one.rule for one in explained if one.verdict == "matched"] == [*expected]
    assert {one.rule: [*one.items] for one in explained if one.items} == {
        n: found for n, found in expected.items() if found
    }


def test_each_matching_item_is_selected_with_its_place() -> None:
    answer = _match(ALERTS, _rule("r", {"$.status": "firing", "item.labels.severity": "page"}, "$.alerts[*]"))

    assert _places(answer) == {"r": ["$.alerts[0]", "$.alerts[2]"]}
    assert [item.index for item in answer.items["r"]] == [0, 2]


def test_a_rule_that_selects_nothing_does_not_match() -> None:
    rule = _rule("r", {"item.labels.severity": "none"}, "$.alerts[*]")

    assert _match(ALERTS, rule) == _match({"alerts": []}, rule) == _match({"alerts": 5}, rule) == Answer((), ())


def test_stop_hides_its_items_from_later_rules_over_the_same_list_only() -> None:
    answer = _match(
        ALERTS,
        _rule("pages", {"item['labels'].severity": "page"}, "$.alerts[*]", stop=True),
        _rule("rest", {}, "$['alerts'][*]"),
        _rule("whole", {}),
    )

    assert _places(answer) == {"pages": ["$.alerts[0]", "$.alerts[2]"], "rest": ["$.alerts[1]", "$.alerts[3]"]}
    assert [rule.name for rule in answer.rules] == ["pages", "rest", "whole"]


def test_stop_of_a_rule_without_for_each_ends_the_search() -> None:
    answer = _match(ALERTS, _rule("whole", {}, stop=True), _rule("rest", {}, "$.alerts[*]"))

    assert [rule.name for rule in answer.rules] == ["whole"]


@pytest.mark.parametrize(("most", "fits"), [(4, True), (3, False)])
def test_more_items_than_most_is_an_evaluation_error(most: int, *, fits: bool) -> None:
    answer = _match(ALERTS, _rule("r", {}, "$.alerts[*]", most=most), _rule("later", {}))

    assert ("r" in [rule.name for rule in answer.rules]) is fits
    assert [rule for rule, _ in answer.errors] == ([] if fits else ["r"])
    assert fits or "more than 3 items" in answer.errors[0][1]
    assert answer.rules[-1].name == "later"


def test_an_item_that_can_not_be_judged_fails_the_rule() -> None:
    match = {"item.a": {"elem": {"$.`parent`.`parent`": 1}}}

    answer = _match({"a": [{"a": 1}]}, _rule("r", match, "$.a[*]"))

    assert (answer.rules, [rule for rule, _ in answer.errors]) == ((), ["r"])


def test_a_path_into_the_item_may_have_any_depth() -> None:
    rule = _rule("r", {"item..login": "ann"}, "$.a[*]")

    answer = _match({"a": [{"x": {"login": "bob"}}, {"y": [{"login": "ann"}]}], "login": "ann"}, rule)

    assert _places(answer) == {"r": ["$.a[1]"]}


def test_the_index_finds_a_rule_by_the_values_of_its_items() -> None:
    rules = tuple(_rule(f"r{i}", {"item.labels.severity": f"s{i}"}, "$.alerts[*]") for i in range(50))
    ruleset = Ruleset(RulesetText("", "", ""), rules, {}, {})
    from router.rules.match.fields import FieldValues

    found = ruleset.candidates(FieldValues(event({"alerts": [{"labels": {"severity": "s7"}}]})))

    assert list(found) == [7]


@pytest.mark.parametrize(
    ("path", "payload", "expected"),
    [
        ("$[*]", ["x", "y"], ["$[0]", "$[1]"]),
        ("$.a[1:]", {"a": [0, 1, 2]}, ["$.a[1]", "$.a[2]"]),
        ("$.a[0,-1]", {"a": [0, 1, 2]}, ["$.a[0]", "$.a[2]"]),
        ("$.a.*", {"a": {"x": 1, "it's b": 2}}, ["$.a.x", "$.a['it\\'s b']"]),
        ("$.a[*].b[*]", {"a": [{"b": [1]}, {}, {"b": [2, 3]}]}, ["$.a[0].b[0]", "$.a[2].b[0]", "$.a[2].b[1]"]),
        (
            "$..b[*]",
            {"a": [{"b": [1, {"b": [9]}]}], "b": [2]},
            ["$.b[0]", "$.a[0].b[0]", "$.a[0].b[1]", "$.a[0].b[1].b[0]"],
        ),
        ("$..a..b", {"a": {"a": {"b": 1}, "b": 2}}, ["$.a.b", "$.a.a.b"]),
        ("$['größe'][*]", {"größe": [1]}, ["$['größe'][0]"]),
    ],
)
def test_the_place_of_an_item_leads_back_to_it(path: str, payload: Any, expected: list[str]) -> None:
    found = compile_items(path)(payload, 10)

    assert [item.place for item in found] == expected
    assert [value_at(payload, item.place) for item in found] == [item.value for item in found]


@examples(30)
@given(keys=st.lists(st.integers(0, 2) | st.text(max_size=4), min_size=1, max_size=4), value=st.integers())
def test_a_place_of_any_keys_leads_to_its_value(keys: list[int | str], value: int) -> None:
    payload: Any = value
    for key in reversed(keys):
        payload = [None] * key + [payload] if isinstance(key, int) else {key: payload}

    assert value_at(payload, place_of(keys)) == value


@pytest.mark.parametrize("place", ["$.a[1]", "$.b", "$.a.x", "$['a'][0].x", "$.a[0]["])
def test_a_place_that_the_payload_lacks_is_an_error(place: str) -> None:
    with pytest.raises(LookupError):
        value_at({"a": [1]}, place)


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("$.alerts", r'write "\$.alerts\[\*\]"'),
        ("$.a[?(@.b)]", "a filter or a function"),
        ("$.a.`keys`", "a filter or a function"),
        ("$.a.b.`parent`[*]", "a filter or a function"),
        ("$.a[", "not a JSONPath"),
    ],
)
def test_a_for_each_path_whose_items_have_no_place_is_refused(path: str, cure: str) -> None:
    with pytest.raises(PathError, match=cure):
        compile_items(path)


def test_the_search_for_items_ends_above_the_limit() -> None:
    with pytest.raises(EvaluationError, match="more than 5 items"):
        compile_items("$[*]")([0] * 1_000_000, 5)
