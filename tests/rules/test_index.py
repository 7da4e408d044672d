"""The index answers what a plain loop over all rules answers, and looks at few of them."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.model import Event, ParsedEvent, RulesetText
from router.rules.conditions import Condition
from router.rules.document import read
from router.rules.fields import Reads
from router.rules.match import parse_match
from router.rules.needs import MAX_KEYS
from router.rules.ruleset import Rule, Ruleset
from router.rules.spot import Report, Spot

Match = Mapping[str, Any]


def _condition(match: Match) -> Condition:
    report = Report("x")
    condition = parse_match(Spot(report, read(json.dumps(match))[0], ""))
    assert not report.failed, report.problems
    return condition


def _ruleset(matches: list[tuple[Match, frozenset[str], bool]]) -> Ruleset:
    rules = tuple(
        Rule(f"r{i}", sources, _condition(match), (), stop) for i, (match, sources, stop) in enumerate(matches)
    )
    return Ruleset(RulesetText("", "", ""), rules, {}, {})


def _only(*matches: Match) -> Ruleset:
    return _ruleset([(match, frozenset({"s"}), False) for match in matches])


def _event(payload: Any, *, form: bool = False, **given: Any) -> ParsedEvent:
    values: dict[str, Any] = {
        "id": "e", "source": "s", "method": "POST", "path": "/p", "query": "", "headers": (), "body": b"",
        "ip": "10.1.2.3", "received_at": 0, **given,
    }  # fmt: skip
    return ParsedEvent(Event(**values), payload, form)


def _candidates(ruleset: Ruleset, parsed: ParsedEvent) -> list[int]:
    return list(ruleset.candidates(Reads(parsed)))


_texts = st.sampled_from(
    ["", "a", "A", "ab", "abc", "b", "ß", "SS", "10", "10.5", "10.1.2.3", "::ffff:10.1.2.3", "x\ny"]
)
_scalars = st.one_of(_texts, st.sampled_from([None, True, False, 0, 1, 1.0, 1.5, -3, 10, 2**63, 1e300]))
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_payload_fields = st.sampled_from(
    [
        *("$", "$.a", "$.b", "$.a.b", "$.a.b.c", "$['a']", "$.a[*]", "$.a[0]", "$.a[*].b"),
        *("$..a", "$..b", "$.c[?(@.a)].b"),
        *("$.a.`parent`.`parent`", "$.b.`parent`.`parent`.`parent`"),  # these raise on most payloads
    ]
)
_text_fields = st.sampled_from(["source", "path", "ip", "headers.X", "headers.x", "headers.Y", "query.q", "query.r"])
_needles = st.sampled_from(["a", "A", "ab", "b", "ss", "10", "SS", "b\n"])
_numeric = st.dictionaries(
    st.sampled_from(["gt", "gte", "lt", "lte"]), st.sampled_from([-1, 0, 1, 1.5, 10, 10.5]), min_size=1, max_size=2
)
_maps = st.one_of(
    st.tuples(st.sampled_from(["prefix", "suffix", "contains"]), _needles, st.booleans()).map(
        lambda t: {t[0]: t[1], "ignore_case": t[2]}
    ),
    st.tuples(_needles, st.booleans()).map(lambda t: {"equals": t[0], "ignore_case": t[1]}),
    st.tuples(st.lists(_needles, min_size=1, max_size=3), st.booleans()).map(
        lambda t: {"in": t[0], "ignore_case": t[1]}
    ),
    st.tuples(st.sampled_from(["a*", "*b", "a*c", "*", "?", "*ab*", "a?c", "*.1.*", "A*b*"]), st.booleans()).map(
        lambda t: {"glob": t[0], "ignore_case": t[1]}
    ),
    st.tuples(
        st.sampled_from(["^a", "b$", "a.c", "[0-9]{2,4}", "a|b", "^$", "(?s)x.y", "(?i)S", "\\d+\\.\\d"]), st.booleans()
    ).map(lambda t: {"regex": t[0], "ignore_case": t[1]}),
    st.sampled_from(["10.0.0.0/8", "10.1.2.3/32", "::/0", "0.0.0.0/0"]).map(lambda n: {"cidr": n}),
    _numeric,
    st.sampled_from([{"length": 1}, {"length": {"gte": 2}}, {"exists": True}, {"exists": False}]),
)
_payload_maps = st.one_of(
    _maps,
    _scalars.filter(lambda v: v != "").map(lambda v: {"equals": v}),
    st.lists(_scalars, min_size=1, max_size=3).map(lambda v: {"in": v}),
    _json.map(lambda v: {"equals": v}),
    st.sampled_from([1, True, None, "a", [1], {"a": 1}]).map(lambda v: {"contains": v}),
)


def _with_field_words(maps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        maps,
        maps.map(lambda m: {"not": m}),
        maps.map(lambda m: {"every": m}),
        st.tuples(maps, maps).map(lambda t: [*t]),
        st.tuples(maps, maps).map(lambda t: {**t[0], "not": t[1]}),
        st.tuples(maps, maps).map(lambda t: {**t[0], "every": t[1]}),
    )


_elem = st.dictionaries(
    st.sampled_from(["$", "$.a", "$..b", "$.`parent`.`parent`"]), _payload_maps, min_size=1, max_size=2
)
_fields = st.one_of(
    st.dictionaries(_payload_fields, _with_field_words(_payload_maps), min_size=1, max_size=3),
    st.dictionaries(_text_fields, _with_field_words(_maps), min_size=1, max_size=2),
    st.tuples(_payload_fields, _payload_maps, _elem).map(lambda t: {t[0]: {**t[1], "elem": t[2]}}),
)
_matches = st.recursive(
    _fields,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["any", "all", "none"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda t: {t[0]: t[1]}
        ),
        inner.map(lambda m: {"not": m}),
        st.tuples(inner, inner).map(lambda t: {**t[0], **t[1]}),
    ),
    max_leaves=4,
)
_rules = st.tuples(
    _matches,
    st.sampled_from([frozenset({"s"}), frozenset({"t"}), frozenset({"s", "t"})]),
    st.integers(0, 9).map(lambda n: n == 0),
)
_events = st.builds(
    _event,
    _json | st.dictionaries(st.sampled_from("abc"), _json, min_size=1, max_size=3),
    form=st.booleans(),
    source=st.sampled_from(["s", "t"]),
    query=st.sampled_from(["", "q=a", "q=10&q=ab&r="]),
    headers=st.sampled_from([(), (("X", "ab"), ("x", "10.5")), (("Y", "SS"),)]),
    ip=st.sampled_from(["10.1.2.3", "::1", "::ffff:10.1.2.3"]),
)


@settings(max_examples=500, deadline=None)
@given(rules=st.lists(_rules, min_size=1, max_size=12), events=st.lists(_events, min_size=1, max_size=4))
@example(rules=[({"$..a": 1, "$.a.`parent`.`parent`": 1}, frozenset({"s"}), False)], events=[_event({"a": 1})])
def test_the_index_answers_what_the_loop_answers(
    rules: list[tuple[Match, frozenset[str], bool]], events: list[ParsedEvent]
) -> None:
    ruleset = _ruleset(rules)

    for parsed in events:
        assert ruleset.match(parsed) == ruleset.match_by_loop(parsed)


@pytest.mark.parametrize(
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
        ({"$.a": {"cidr": "10.0.0.0/8"}}, {"a": "10.1.2.3"}, {"a": "11.1.2.3"}),
        ({"$.a": {"exists": True}}, {"a": None}, {"b": 1}),
        ({"$.a[*].b": "x"}, {"a": [{"b": "y"}, {"b": "x"}]}, {"a": [{"b": "y"}]}),
        ({"$.a[*]": {"every": "x"}}, {"a": ["x"]}, {"a": ["y"]}),
        ({"any": [{"$.a": "x"}, {"$.b": "y"}]}, {"b": "y"}, {"a": "y"}),
        ({"$.a": "x", "not": {"$.b": 1}}, {"a": "x"}, {"a": "y"}),
        ({"$.a": {"prefix": "x", "not": "xy"}}, {"a": "xz"}, {"a": "y"}),
    ],
)
def test_these_shapes_are_indexed(match: Match, hit: Any, miss: Any) -> None:
    ruleset = _only(match)

    assert _candidates(ruleset, _event(hit)) == [0]
    assert _candidates(ruleset, _event(miss)) == []


def test_fields_beside_the_payload_are_indexed_too() -> None:
    ruleset = _only({"headers.X": "a"}, {"query.q": {"gt": 5}}, {"ip": {"cidr": "10.0.0.0/8"}}, {"method": "PUT"})

    assert _candidates(ruleset, _event({}, headers=(("x", "a"),), ip="11.0.0.1")) == [0]
    assert _candidates(ruleset, _event({}, query="q=7")) == [1, 2]
    assert _candidates(ruleset, _event({}, method="PUT", ip="11.0.0.1")) == [3]


def test_a_rule_is_filed_under_its_rarest_key() -> None:
    ruleset = _only(*[{"headers.X-GitHub-Event": "push", "$.repository.full_name": f"acme/{i}"} for i in range(1000)])

    parsed = _event({"repository": {"full_name": "acme/7"}}, headers=(("X-GitHub-Event", "push"),))

    assert _candidates(ruleset, parsed) == [7]


def test_what_no_key_can_tell_is_judged_for_every_event() -> None:
    ruleset = _only({"$.a": {"not": "x"}}, {"$.a": {"exists": False}}, {"none": [{"$.a": 1}]}, {"$.b": 1})

    assert _candidates(ruleset, _event({})) == [0, 1, 2]


def test_too_many_alternatives_are_not_filed() -> None:
    ruleset = _only({"$.a": {"in": [f"v{i}" for i in range(MAX_KEYS + 1)]}}, {"$.a": {"in": ["w", "v"]}})

    assert _candidates(ruleset, _event({"a": "v"})) == [0, 1]
    assert _candidates(ruleset, _event({"a": "u"})) == [0]


def test_each_field_is_read_once_for_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    from router.rules.fields import PayloadField

    counted: list[str] = []
    real: Callable[[PayloadField, ParsedEvent], list[Any]] = PayloadField.values

    def values(self: PayloadField, parsed: ParsedEvent) -> list[Any]:
        counted.append(self.text)
        return real(self, parsed)

    monkeypatch.setattr(PayloadField, "values", values)
    ruleset = _only(*[{"$..a": "x", "$.b[*]": {"not": f"{i}"}} for i in range(20)])

    assert len(ruleset.match(_event({"a": "x", "b": ["y"]})).rules) == 20

    assert sorted(counted) == ["$..a", "$.b[*]"]


def test_many_patterns_of_one_field_are_filtered() -> None:
    ruleset = _only(*[{"$.a": {"regex": f"^release-{i}-[a-z]{{1,50}}$"}} for i in range(6000)])

    assert _candidates(ruleset, _event({"a": "release-5999-abc"})) == [5999]
