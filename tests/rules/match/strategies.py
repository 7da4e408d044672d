"""Rules and events for the differential tests: every field, operator, combinator and nesting, on few and telling values.

The values are few so that conditions often hold, and telling: true beside 1, 1 beside 1.0 and "1", texts that differ by
case only, numbers beyond 64 bits, several values of one field, and paths that fail.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from router.domain.events import Event, ParsedEvent

Match = Mapping[str, Any]
GeneratedRule = tuple[Match, frozenset[str], bool]
"""What it matches, its sources, and whether it stops."""


def event(payload: Any, *, form: bool = False, **given: Any) -> ParsedEvent:
    """An event around a payload."""
    values: dict[str, Any] = {
        "id": "e", "source": "s", "method": "POST", "path": "/p", "query": "", "headers": (), "body": b"",
        "ip": "10.1.2.3", "received_at": 0, **given,
    }  # fmt: skip
    return ParsedEvent(Event(**values), payload, form)


TEXTS = st.sampled_from(
    ["", "a", "A", "ab", "abc", "b", "ß", "SS", "1", "10", "10.5", "1e1", "10.1.2.3", "::ffff:10.1.2.3", "::1", "x\ny"]
)
SCALARS = st.one_of(
    TEXTS,
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
        # These raise on many payloads.
        *("$.a.`parent`.`parent`", "$.b.`parent`.`parent`.`parent`", "$.a.`sorted`"),
    ]
)
_TEXT_FIELDS = st.sampled_from(
    ["source", "method", "path", "ip", "headers.X", "headers.x", "headers.Y", "query.q", "query.r"]
)
_NEEDLES = st.sampled_from(["a", "A", "ab", "b", "ss", "10", "SS", "b\n", "s", "/p", "POST"])
_BOUNDS = st.sampled_from([-1, 0, 1, 1.5, 10, 10.5, 2**53, 2**64])
_COMPARISONS = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), _BOUNDS, min_size=1, max_size=3)
_LENGTHS = st.integers(0, 3) | st.dictionaries(
    st.sampled_from(["gt", "gte", "lt", "lte", "equals"]), st.integers(0, 3), min_size=1, max_size=2
)
_GLOBS = st.sampled_from(["a*", "*b", "a*c", "*", "?", "*ab*", "a?c", "*.1.*", "A*b*", "s?", "[a]*", "a**"])
_REGEXES = st.sampled_from(["^a", "b$", "a.c", "[0-9]{2,4}", "a|b", "^$", "(?s)x.y", "(?i)S", "\\d+\\.\\d", "a{0,3}"])
_NETWORKS = st.sampled_from(
    ["10.0.0.0/8", "10.1.2.3/32", "10.1.2.3", "::/0", "0.0.0.0/0", "::1", "::ffff:10.0.0.0/104", "11.0.0.0/8"]
)
_FOLDED = {"equals", "in", "prefix", "suffix", "contains", "regex", "glob"}
_CONTAINED = st.one_of(_NEEDLES, st.sampled_from([1, 1.0, True, None, [1], {"a": 1}]))
_PAYLOAD_OPERATORS: dict[str, st.SearchStrategy[Any]] = {
    "equals": JSON,
    "in": st.lists(SCALARS, min_size=1, max_size=3) | st.lists(JSON, min_size=1, max_size=2),
    "prefix": _NEEDLES,
    "suffix": _NEEDLES,
    "contains": _CONTAINED,
    "regex": _REGEXES,
    "glob": _GLOBS,
    "gt": _BOUNDS,
    "gte": _BOUNDS,
    "lt": _BOUNDS,
    "lte": _BOUNDS,
    "cidr": _NETWORKS,
    "length": _LENGTHS,
}
_TEXT_OPERATORS = {
    **_PAYLOAD_OPERATORS, "equals": TEXTS, "in": st.lists(TEXTS, min_size=1, max_size=3), "contains": _NEEDLES,
}  # fmt: skip


def _one_value(operators: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """One to three operators for one value, some of them ignoring case."""

    def with_operands(words: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        found = st.fixed_dictionaries({word: operators[word] for word in words})
        if not _FOLDED & set(words):
            return found
        return st.tuples(found, st.sampled_from([{}, {}, {"ignore_case": True}, {"ignore_case": False}])).map(
            lambda parts: parts[0] | parts[1]
        )

    single = st.sampled_from(sorted(operators)).map(lambda word: [word])
    several = st.lists(st.sampled_from(sorted(operators)), min_size=2, max_size=3, unique=True)
    return (single | single | several).flatmap(with_operands) | _COMPARISONS


def _tests(maps: st.SearchStrategy[Any], scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What a field may be asked: scalars, lists, operator maps, and the words that judge the field, nested."""
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
_elements = _combined(st.dictionaries(_element_paths, _payload_tests, min_size=1, max_size=2))
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
    method=st.sampled_from(["POST", "PUT"]),
    query=st.sampled_from(["", "q=a", "q=10&q=ab&r=", "r=1e1&q=%C3%9F"]),
    headers=st.sampled_from([(), (("X", "ab"), ("x", "10.5")), (("Y", "SS"),), (("x", ""), ("Y", "::1"))]),
    ip=st.sampled_from(["10.1.2.3", "::1", "::ffff:10.1.2.3", "11.0.0.9"]),
)


def words(match: Any) -> set[str]:
    """Every key that a condition is made of."""
    if isinstance(match, dict):
        return set(match).union(*map(words, match.values()))
    return set().union(*map(words, match)) if isinstance(match, list) else set()
