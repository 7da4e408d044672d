"""The semantics of conditions."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.errors import EvaluationError
from router.domain.events import Event, ParsedEvent
from router.rules.compile.match import parse_match
from router.rules.match.conditions import Condition
from router.rules.match.fields import FieldValues
from router.rules.yaml.document import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport
from tests.cases import each
from tests.conftest import examples

Matches = Callable[..., bool]
Problems = Callable[[str], list[str]]


@each(
    ("match", "payload", "holds"),
    [
        # equality: typed, no coercion
        ("$.a: 1", {"a": 1}, True),
        ("$.a: 1", {"a": 1.0}, True),
        ("$.a: 1", {"a": "1"}, False),
        ("$.a: 1", {"a": True}, False),
        ("$.a: true", {"a": 1}, False),
        ("$.a: true", {"a": True}, True),
        ('$.a: "1"', {"a": 1}, False),
        ("$.a: null", {"a": None}, True),
        ("$.a: null", {}, False),
        ("$.a: {equals: {b: [1, true]}}", {"a": {"b": [1.0, True]}}, True),
        ("$.a: {equals: {b: [1, true]}}", {"a": {"b": [1, 1]}}, False),
        ("$.a: {equals: [1, 2]}", {"a": [1, 2]}, True),
        ("$.a: {equals: [1, 2]}", {"a": [2, 1]}, False),
        ("$.a: x", {"a": ["x"]}, False),  # operators don't descend into arrays
        ("$.a[*]: x", {"a": ["y", "x"]}, True),
        ("$.a: Main", {"a": "main"}, False),
        ("$.a: {equals: Main, ignore_case: true}", {"a": "mAIN"}, True),
        # any of
        ("$.a: [x, y]", {"a": "y"}, True),
        ("$.a: [x, 1]", {"a": True}, False),
        ("$.a: [x, {prefix: y}]", {"a": "yes"}, True),
        ("$.a: [null, x]", {"a": None}, True),
        ("$.a: {in: [X], ignore_case: true}", {"a": "x"}, True),
        # exists
        ("$.a: {exists: true}", {"a": None}, True),
        ("$.a: {exists: true}", {}, False),
        ("$.a: {exists: false}", {}, True),
        ("$.a: {exists: false}", {"a": None}, False),
        # text
        ("$.a: {prefix: ref}", {"a": "refs"}, True),
        ("$.a: {prefix: ref}", {"a": 5}, False),
        ("$.a: {suffix: '.py'}", {"a": "x.py"}, True),
        ("$.a: {suffix: '@ACME.com', ignore_case: true}", {"a": "ann@acme.COM"}, True),
        ("$.a: {contains: b}", {"a": "abc"}, True),
        ("$.a: {contains: b}", {"a": ["x", "b"]}, True),
        ("$.a: {contains: b}", {"a": ["abc"]}, False),
        ("$.a: {contains: 1}", {"a": [True]}, False),
        ("$.a: {contains: 1}", {"a": [1.0]}, True),
        ("$.a: {contains: 1}", {"a": "1"}, False),
        # numbers
        ("$.a: {gt: 5}", {"a": 6}, True),
        ("$.a: {gt: 5}", {"a": 5}, False),
        ("$.a: {gte: 5}", {"a": 5}, True),
        ("$.a: {lt: 5}", {"a": 4.9}, True),
        ("$.a: {lte: 5}", {"a": "4"}, False),
        ("$.a: {gte: 0}", {"a": True}, False),
        ("$.a: {gte: 1, lt: 3}", {"a": 2}, True),
        # one value must satisfy the whole map
        ("$.a[*]: {gt: 1, lt: 3}", {"a": [0, 5]}, False),
        ("$.a[*]: {gt: 1, lt: 3}", {"a": [0, 2]}, True),
        # not: the exact complement of the field
        ("$.a: {not: x}", {}, True),
        ("$.a: {not: x}", {"a": "x"}, False),
        ("$.l[*]: {not: wip}", {"l": ["a", "wip"]}, False),
        ("$.l[*]: {not: wip}", {"l": ["a"]}, True),
        ("$.l[*]: {not: [wip, draft]}", {"l": ["a", "draft"]}, False),
        ("$.l[*]: {prefix: a, not: ab}", {"l": ["ac", "x"]}, True),
        ("$.l[*]: {prefix: a, not: ab}", {"l": ["ac", "ab"]}, False),
        ("$.a: {not: {exists: true}}", {}, True),
        ("$.a: {not: {not: x}}", {"a": "x"}, True),
        ("$.a: {not: WIP, ignore_case: true}", {"a": "wip"}, False),
        # every
        ("$.a[*]: {every: {gt: 1}}", {"a": [2, 3]}, True),
        ("$.a[*]: {every: {gt: 1}}", {"a": [2, 1]}, False),
        ("$.a[*]: {every: {gt: 1}}", {"a": []}, False),
        ("$.a[*]: {every: {not: x}}", {"a": ["y", "x"]}, False),
        # elem
        ("$.a[*]: {elem: {$.n: x, $.s: 1}}", {"a": [{"n": "x", "s": 2}, {"n": "y", "s": 1}]}, False),
        ("$.a[*]: {elem: {$.n: x, $.s: 1}}", {"a": [{"n": "x", "s": 1}]}, True),
        ("$.a[*]: {elem: {any: [{$.n: x}, {$.n: y}]}}", {"a": [{"n": "y"}]}, True),
        # length, regex, glob
        ("$.a: {length: 2}", {"a": "ab"}, True),
        ("$.a: {length: {gte: 1}}", {"a": []}, False),
        ("$.a: {length: 1}", {"a": {"k": 1}}, True),
        ("$.a: {length: 1}", {"a": 1}, False),
        ("$.a: {regex: 'b+'}", {"a": "abbc"}, True),
        ("$.a: {regex: '^b+$'}", {"a": "abbc"}, False),
        ("$.a: {regex: '^B', ignore_case: true}", {"a": "bc"}, True),
        ("$.a: {glob: 'refs/*/v?'}", {"a": "refs/x/y/v1"}, True),
        ("$.a: {glob: 'v?'}", {"a": "v12"}, False),
        ("$.a: {glob: 'a.c'}", {"a": "abc"}, False),
        ("$.a: {glob: 'a*'}", {"a": "a\nb"}, True),
        # combinators
        ("any: [{$.a: 1}, {$.b: 1}]", {"b": 1}, True),
        ("any: [{$.a: 1, $.b: 2}]", {"a": 1, "b": 1}, False),
        ("all: [{$.a: 1}, {$.b: 1}]", {"a": 1}, False),
        ("none: [{$.a: 1}, {$.b: 1}]", {"c": 1}, True),
        ("none: [{$.a: 1}, {$.b: 1}]", {"b": 1}, False),
        ("not: {$.a: 1, $.b: 1}", {"a": 1}, True),
        ("{$.a: 1, none: [{$.d: true}]}", {"a": 1, "d": False}, True),
        # text payloads
        ("$: {contains: deploy}", "please deploy", True),
        ("$.a: {exists: false}", "text", True),
    ],
)
def test_a_condition_holds_as_specified(matches: Matches, match: str, payload: Any, holds: bool) -> None:
    assert matches(match, payload) is holds


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        ("source: github", True),
        ("method: {in: [PUT, PATCH]}", False),
        ("path: {prefix: /hooks/}", True),
        ("ip: {cidr: 192.0.2.0/24}", True),
        ("ip: {cidr: 10.0.0.0/8}", False),
        ("headers.x-github-event: push", True),
        ("headers: {X-GitHub-Event: push, X-Count: {gte: 10}}", True),
        ("headers.X-Count: {gt: 10}", False),
        ("headers.X-Many: two", True),
        ("headers.X-None: {exists: false}", True),
        ("query.ref: main", True),
        ("query: {n: {lt: 3.5}}", True),
        ("query.ref: {every: {prefix: m}}", False),
    ],
)
def test_conditions_can_read_fields_outside_the_payload(matches: Matches, match: str, holds: bool) -> None:
    headers = (("X-Github-Event", "push"), ("X-Count", "10"), ("X-Many", "one"), ("X-Many", "two"))

    assert matches(match, {}, headers=headers, query="ref=main&ref=dev&n=3") is holds


def test_numeric_operators_read_decimals_in_form_values(matches: Matches) -> None:
    assert matches("$.n: {gte: 10}", {"n": "12.5"}, form=True)
    assert not matches("$.n: {gte: 10}", {"n": "12.5"})
    assert not matches("$.n: {gte: 10}", {"n": "a12"}, form=True)
    assert not matches("$.n: {equals: 12, gte: 10}", {"n": "12"}, form=True)


def test_an_ipv4_mapped_address_matches_as_ipv4(matches: Matches) -> None:
    assert matches("ip: {cidr: 10.0.0.0/8}", {}, ip="::ffff:10.1.2.3")


def test_a_failing_path_below_not_is_an_error(
    condition: Callable[[str], Condition], parsed: Callable[..., ParsedEvent]
) -> None:
    for text in ("$.a.`parent`.`parent`.`parent`: x", 'not: {"$.a.`parent`.`parent`.`parent`": x}'):
        with pytest.raises(EvaluationError):
            condition(text).holds(FieldValues(parsed({"a": 1})))


@each(
    ("match", "message"),
    [
        ("ref: x", '1:1: match: unknown field "ref"; a field of the payload is a JSONPath: "$.ref"'),
        ("payload.ref: x", '"$.ref"'),
        ("header.X: x", 'did you mean "headers.X"?'),
        ("methd: x", 'did you mean "method"?'),
        ("headers: x", "expected a mapping of names"),
        ("$.a: {equal: x}", '1:7: match[$.a]: unknown operator "equal"; did you mean "equals"?'),
        ("$.a: {startswith: x}", 'did you mean "prefix"?'),
        ("$.a: {zzz: x}", "known: age, cidr"),
        ("$.a:", "expected a value, found nothing"),
        ("$.a: []", "a list with nothing in it"),
        ("$.a: {}", "a mapping with nothing in it"),
        ("$.a: [[x]]", "write {equals: [ … ]}"),
        ("$.a: {in: x}", "expected a list, found the text"),
        ("$.a: {gt: '5'}", "write 5 for a number"),
        ("$.a: {lte: ' .5 '}", "write .5 for a number"),
        ("$.a: {gt: ''}", "empty text comes before every other"),
        ("$.a: {gt: a, lt: 5}", "no value is both"),
        ("$.a: {gt: true}", "expected a number"),
        ("$.a: {prefix: 5}", "expected text, found the number 5; quote it"),
        ("$.a: {prefix: [a, [b]]}", "write the entries in one list"),
        ("$.a: {glob: []}", "an empty list matches nothing"),
        ("$.a: {prefix: ''}", "use exists: true"),
        ("$.a: {exists: yes}", "expected true or false"),
        ("$.a: {ignore_case: true}", "ignore_case changes nothing here"),
        ("$.a: {gt: 1, ignore_case: true}", "ignore_case changes nothing here"),
        ("$.a: {equals: x, ignore_case: 1}", "expected true or false"),
        ("$.a: {regex: '(?=a)'}", "lookahead"),
        ("$.a: {regex: '(a)\\1'}", "backreferences"),
        ("$.a: {regex: '('}", "missing )"),
        ("$.a: {cidr: 10.0.0.1/8}", "host bits set"),
        ("$.a: {length: x}", "expected a number"),
        ("$.a: {length: {foo: 1}}", "doesn't compare lengths"),
        ("$.a: {$.b: 1}", "use elem:"),
        ("$.a: {elem: {source: x}}", "$ is the element"),
        ("headers.X: 5", 'quote it: "5"'),
        ("headers.X: null", "never nothing (null)"),
        ("query.n: [1]", 'quote it: "1"'),
        ("any: {$.a: 1}", "expected a list of conditions"),
        ("any: []", "expected a list of conditions"),
        ("any: [{}]", "holds for every event"),
        ("any: [x]", "expected a mapping of fields"),
        ("not: [{$.a: 1}]", "use none:"),
        ("equals: 5", "is an operator and belongs below a field"),
        ("$.a: {exists: false, equals: 1}", "warning: match[$.a]: this can't hold"),
        ("$.a: {gt: 5, lte: 5}", "warning: match[$.a]: this can't hold: nothing is gt 5 and lte 5"),
        ("$.a: {length: {gte: 3, lt: 3}}", "1:7: warning: match[$.a]: this can't hold: nothing is gte 3 and lt 3"),
        ("$.a: {equals: x, prefix: y}", "warning: match[$.a]: this can't hold: the value fails prefix"),
        ("$.a: {in: [1, 2], gt: 5}", "warning: match[$.a]: this can't hold: the value fails gt"),
    ],
)
def test_a_wrong_condition_is_reported_with_a_suggestion(problems: Problems, match: str, message: str) -> None:
    assert any(message in problem for problem in problems(match)), problems(match)


_scalars = st.sampled_from([None, True, False, 0, 1, 1.5, "", "a", "ab", "b", "10"])
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
_fields = st.sampled_from(["$.a", "$.a[*]", "$.b", "$..a", "headers.X", "query.q"])
_text_tests = st.one_of(
    st.sampled_from(["a", "ab", "10"]),
    st.lists(st.sampled_from(["a", "b", "10"]), min_size=1, max_size=3),
    st.sampled_from(
        [
            {"prefix": "a"},
            {"suffix": "b", "not": "ab"},
            {"contains": "b"},
            {"gt": 5},
            {"exists": True},
            {"exists": False},
            {"every": {"prefix": "a"}},
            {"not": ["a", {"prefix": "b"}]},
            {"equals": "A", "ignore_case": True},
            {"length": {"gte": 1}},
        ]
    ),
)
_conditions = st.recursive(
    st.dictionaries(_fields, _text_tests, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda c: {"any": c}),
        st.lists(inner, min_size=1, max_size=3).map(lambda c: {"none": c}),
        st.lists(inner, min_size=1, max_size=3).map(lambda c: {"all": c}),
        inner.map(lambda c: {"not": c}),
    ),
    max_leaves=6,
)


def _compile(match: Any) -> Condition:
    report = ProblemReport("x")
    condition = parse_match(NodePath(report, read(json.dumps(match))[0], ""))
    assert not report.failed, report.problems
    return condition


@examples(90)
@given(match=_conditions, payload=st.dictionaries(st.sampled_from("ab"), _values, max_size=2), form=st.booleans())
def test_not_is_the_exact_complement(match: Any, payload: Any, form: bool) -> None:
    event = Event("e", "s", "POST", "/", "q=a&q=10", (("X", "ab"),), b"", "", 0)
    parsed = ParsedEvent(event, payload, form)

    assert _compile({"not": match}).holds(FieldValues(parsed)) is not _compile(match).holds(FieldValues(parsed))


@examples(90)
@given(field=_fields, test=_text_tests, payload=st.dictionaries(st.sampled_from("ab"), _values, max_size=2))
def test_not_below_a_field_is_the_complement_of_the_field(field: str, test: Any, payload: Any) -> None:
    parsed = ParsedEvent(Event("e", "s", "POST", "/", "q=a", (), b"", "", 0), payload)

    reads = FieldValues(parsed)
    assert _compile({field: {"not": test}}).holds(reads) is not _compile({field: test}).holds(reads)


_EVENT = Event("", "", "", "", "", (), b"", "", 0)
_WIDE_AND_DEEP: Any = [{} for _ in range(18_000)]
for _ in range(190):
    _WIDE_AND_DEEP = {"a": _WIDE_AND_DEEP}


@pytest.mark.parametrize(
    "match",
    [
        {"$..*": {"elem": {"$..b": 1}}},
        {"$..*": {"every": {"elem": {"$..b": {"exists": False}}}}},
        {"$..*": [{"elem": {"$..*": {"elem": {"$..b": 1}}}}]},
        {"$..a": {"not": {"elem": {"none": [{"$..*": {"elem": {"$": {"elem": {"$..b": 1}}}}}]}}}},
        {"$..*": {"elem": {"$[?(@..b)]": {"exists": True}}}},
    ],
)
def test_conditions_on_elements_share_one_limit(match: Any) -> None:
    with pytest.raises(EvaluationError, match="too many steps"):
        _compile(match).holds(FieldValues(ParsedEvent(_EVENT, _WIDE_AND_DEEP, False)))


def test_conditions_on_many_flat_elements_stay_below_the_limit() -> None:
    items = [{"labels": [{"name": n}], "state": "x"} for n in range(20_000)]

    match = {"$[*]": {"elem": {"$..name": 19_999, "$..state": "x", "$.labels[?(!(@..name == 3))]": {"exists": True}}}}

    assert _compile(match).holds(FieldValues(ParsedEvent(_EVENT, items, False)))
