"""Rules and events for the differential tests: every field, operator, combinator and nesting, with few values.

With few values conditions hold often. The values are edge cases: true and 1, 1 and 1.0 and "1", texts that differ only
by case, numbers beyond 64 bits, several values of one field, and paths that fail.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from router.domain.events import Event, ParsedEvent

RECEIVED_AT = 1_714_557_600_000  #: ms; 2024-05-01 10:00 UTC, a Wednesday

Match = Mapping[str, Any]
GeneratedRule = tuple[Match, frozenset[str], bool]
"""What it matches, its sources, and whether it stops."""


def event(payload: Any, *, form: bool = False, **given: Any) -> ParsedEvent:
    """An event with a payload."""
    values: dict[str, Any] = {
        "id": "e", "source": "s", "method": "POST", "path": "/p", "query": "", "headers": (), "body": b"",
        "ip": "10.1.2.3", "received_at": RECEIVED_AT, **given,
    }  # fmt: skip
    params = values.pop("params", None)
    return ParsedEvent(Event(**values), payload, form, params)


TEXTS = st.sampled_from(
    ["", "a", "A", "ab", "abc", "b", "ß", "SS", "1", "10", "10.5", "1e1", "10.1.2.3", "::ffff:10.1.2.3", "::1", "x\ny"]
)
_WHEN = st.sampled_from(
    [
        *("2024-05-01T10:00:00Z", "2024-05-01T09:59:30Z", "2024-05-01T12:00:00.25+02:00", "2024-05-01 09:00:00 UTC"),
        *("2024-05-01T10:00:00", "2024-05-01", "2024-05-01T11:00:00Z", "1714557570", 1714557570, 1714557570000, 1e15),
    ]
)
SCALARS = st.one_of(
    TEXTS,
    _WHEN,
    st.sampled_from(
        [None, True, False, 0, 1, 1.0, 1.5, -3, 10, 2**53 + 1, 2.0**53, 2**63, 1.8446744073709552e19, 1e300]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "größe"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_PATHS = st.sampled_from(
    [
        *("$", "$.a", "$.b", "$.a.b", "$.a.b.c", "$['a']", "$.a[*]", "$.a[0]", "$.a[-1]", "$.a[0:2]", "$.a[*].b"),
        *(
            "$.*",
            "$['a','b']",
            "$..a",
            "$..b",
            "$..*",
            "$.c[?(@.a)].b",
            "$..a..b",
            "$.a[?(@.b == 1)]",
            "$.a.`len`",
            "$.a.`keys`",
        ),
        *("$.a[?(!(@.b == 1))].b", "$[?(!(@.a && @.b))]", "$.größe", "$.a[?(!(@.größe))]", "$..a[?(!(@.b || @.c))]"),
        # These paths raise an error on many payloads.
        *("$.a.`parent`.`parent`", "$.b.`parent`.`parent`.`parent`", "$.a.`sorted`"),
    ]
)
_TEXT_FIELDS = st.sampled_from(
    ["source", "method", "path", "ip", "headers.X", "headers.x", "headers.Y", "query.q", "query.r", "params.team"]
)
_NEEDLES = st.sampled_from(["a", "A", "ab", "b", "ss", "10", "SS", "b\n", "s", "/p", "POST"])
_BOUNDS = st.sampled_from([-1, 0, 1, 1.5, 10, 10.5, 2**53, 2**64])
_TEXT_BOUNDS = st.sampled_from(["a", "ab", "b", "A", "ß", "2024-05-01T10", "é"])
_ORDER = st.sampled_from(["gt", "gte", "lt", "lte"])
_COMPARISONS = st.dictionaries(_ORDER, _BOUNDS, min_size=1, max_size=3) | st.dictionaries(
    _ORDER, _TEXT_BOUNDS, min_size=1, max_size=3
)
_AGES = st.dictionaries(_ORDER, st.sampled_from(["0s", "30s", "-1h", "5m", "1h"]), min_size=1, max_size=2)
_TIMES = st.dictionaries(_ORDER, st.sampled_from(["09:59", "10:00", "10:01", "23:00"]), min_size=1, max_size=1)
_LENGTHS = st.integers(0, 3) | st.dictionaries(
    st.sampled_from(["gt", "gte", "lt", "lte", "equals"]), st.integers(0, 3), min_size=1, max_size=2
)
_GLOBS = st.sampled_from(["a*", "*b", "a*c", "*", "?", "*ab*", "a?c", "*.1.*", "A*b*", "s?", "[a]*", "a**"])
_REGEXES = st.sampled_from(["^a", "b$", "a.c", "[0-9]{2,4}", "a|b", "^$", "(?s)x.y", "(?i)S", "\\d+\\.\\d", "a{0,3}"])
_NETWORKS = st.sampled_from(
    ["10.0.0.0/8", "10.1.2.3/32", "10.1.2.3", "::/0", "0.0.0.0/0", "::1", "::ffff:10.0.0.0/104", "11.0.0.0/8"]
)
_FOLDED = {"equals", "in", "prefix", "suffix", "contains", "regex", "glob"}
_CONTAINED = st.one_of(_NEEDLES, st.sampled_from([1, 1.0, True, None, {"a": 1}]))


def _entries(entry: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An operand that may be a list."""
    return entry | entry | st.lists(entry, min_size=1, max_size=3)


_PAYLOAD_OPERATORS: dict[str, st.SearchStrategy[Any]] = {
    "equals": JSON,
    "in": st.lists(SCALARS, min_size=1, max_size=3) | st.lists(JSON, min_size=1, max_size=2),
    "prefix": _entries(_NEEDLES),
    "suffix": _entries(_NEEDLES),
    "contains": _entries(_CONTAINED),
    "regex": _entries(_REGEXES),
    "glob": _entries(_GLOBS),
    "gt": _BOUNDS,
    "gte": _BOUNDS,
    "lt": _BOUNDS,
    "lte": _BOUNDS,
    "cidr": _entries(_NETWORKS),
    "length": _LENGTHS,
    "age": _AGES,
    "equals_field": _PATHS | _TEXT_FIELDS,
}
_TEXT_OPERATORS = {
    **_PAYLOAD_OPERATORS, "equals": TEXTS, "in": st.lists(TEXTS, min_size=1, max_size=3), "contains": _entries(_NEEDLES),
}  # fmt: skip


def _one_value(operators: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """One to three operators for one value, some with ignore_case."""

    def with_operands(words: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        found = st.fixed_dictionaries({word: operators[word] for word in words})
        if not _FOLDED & set(words):
            return found
        return st.tuples(found, st.sampled_from([{}, {}, {"ignore_case": True}, {"ignore_case": False}])).map(
            lambda parts: parts[0] | parts[1]
        )

    single = st.sampled_from(sorted(operators)).map(lambda word: [word])
    several = st.lists(
        st.sampled_from(sorted({*operators} - {"gt", "gte", "lt", "lte"})), min_size=2, max_size=3, unique=True
    )
    return (single | single | several).flatmap(with_operands) | _COMPARISONS


def _tests(maps: st.SearchStrategy[Any], scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The conditions that a field may have: scalars, lists, operator maps, and nested combinators of the field."""
    leaves = st.one_of(maps, maps, scalars, st.booleans().map(lambda wanted: {"exists": wanted}))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(lambda test: {"not": test}),
            inner.map(lambda test: {"every": test}),
            st.tuples(maps, inner).map(lambda parts: {**parts[0], "not": parts[1]}),
            st.tuples(maps, inner).map(lambda parts: {**parts[0], "every": parts[1]}),
            st.tuples(inner, inner, st.booleans()).map(
                lambda parts: {"not": parts[0], "every": parts[1], "exists": parts[2]}
            ),
            st.lists(inner.filter(lambda test: not isinstance(test, list)), min_size=1, max_size=3),
        ),
        max_leaves=4,
    )


_payload_tests = _tests(_one_value(_PAYLOAD_OPERATORS), SCALARS)
_element_tests = _tests(_one_value({**_PAYLOAD_OPERATORS, "equals_field": _PATHS}), SCALARS)
_text_tests = _tests(_one_value(_TEXT_OPERATORS), TEXTS)


def _combined(fields: st.SearchStrategy[Match]) -> st.SearchStrategy[Match]:
    return st.recursive(
        fields,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(["any", "all", "none"]), st.lists(inner, min_size=1, max_size=3)).map(
                lambda parts: {parts[0]: parts[1]}
            ),
            inner.map(lambda match: {"not": match}),
            st.tuples(inner, inner).map(lambda parts: {**parts[0], **parts[1]}),
        ),
        max_leaves=4,
    )


_element_paths = st.sampled_from(["$", "$.a", "$.b", "$..b", "$[*]", "$.`parent`.`parent`"])
_elements = _combined(
    st.dictionaries(_element_paths, _element_tests, min_size=1, max_size=2)
    | st.tuples(_element_paths, _element_paths).map(lambda paths: {paths[0]: {"equals_field": paths[1]}})
)
_payload_fields = st.one_of(
    st.dictionaries(_PATHS, _payload_tests, min_size=1, max_size=3),
    st.tuples(_PATHS, _one_value(_PAYLOAD_OPERATORS) | st.just({}), _elements).map(
        lambda parts: {parts[0]: {**parts[1], "elem": parts[2]}}
    ),
    st.tuples(_PATHS, _elements).map(lambda parts: {parts[0]: {"every": {"not": {"elem": parts[1]}}}}),
)
_text_fields = st.one_of(
    st.dictionaries(_TEXT_FIELDS, _text_tests, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from("XY"), _text_tests, min_size=1, max_size=2).map(lambda match: {"headers": match}),
    st.dictionaries(st.sampled_from("qr"), _text_tests, min_size=1, max_size=2).map(lambda match: {"query": match}),
    st.dictionaries(st.just("team"), _text_tests, min_size=1).map(lambda match: {"params": match}),
    st.one_of(_TIMES, st.sampled_from(["10:00", ["09:00", {"gt": "09:59"}], {"not": "10:00"}])).map(
        lambda asked: {"time": asked}
    ),
    st.sampled_from(["wed", ["mon", "wed"], {"not": ["sat", "sun"]}, "thu"]).map(lambda asked: {"weekday": asked}),
)
MATCHES: st.SearchStrategy[Match] = _combined(_payload_fields | _payload_fields | _text_fields)
"""Conditions of every shape."""

RULES: st.SearchStrategy[GeneratedRule] = st.tuples(
    MATCHES,
    st.sampled_from([frozenset({"s"}), frozenset({"t"}), frozenset({"s", "t"})]),
    st.integers(0, 9).map(lambda number: number == 0),
)
EVENTS = st.builds(
    event,
    JSON | st.dictionaries(st.sampled_from("abc"), JSON, min_size=1, max_size=3),
    form=st.booleans(),
    source=st.sampled_from(["s", "t"]),
    params=st.sampled_from([None, {"team": "ab"}, {"team": "10.5"}]),
    received_at=st.sampled_from([RECEIVED_AT, RECEIVED_AT + 86_400_000 + 3_600_000]),
    method=st.sampled_from(["POST", "PUT"]),
    query=st.sampled_from(["", "q=a", "q=10&q=ab&r=", "r=1e1&q=%C3%9F"]),
    headers=st.sampled_from([(), (("X", "ab"), ("x", "10.5")), (("Y", "SS"),), (("x", ""), ("Y", "::1"))]),
    ip=st.sampled_from(["10.1.2.3", "::1", "::ffff:10.1.2.3", "11.0.0.9"]),
)


def words(match: Any) -> set[str]:
    """Every key in a condition."""
    if isinstance(match, dict):
        return set(match).union(*map(words, match.values()))
    return set().union(*map(words, match)) if isinstance(match, list) else set()
