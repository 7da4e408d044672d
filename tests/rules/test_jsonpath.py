"""Paths give what jsonpath-ng's own `find` gives, in its order, and nothing that it answers unsafely."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonpath_ng.ext.parser import parse

from router.errors import EvaluationError
from router.rules import jsonpath
from router.rules.jsonpath import MAX_VALUES, PathError, compile_path
from tests.acceptance.payloads import bodies

PAYLOAD: dict[str, Any] = {
    "ref": "refs/heads/main",
    "repository": {"id": 7, "full_name": "acme/api", "owner": {"login": "acme"}},
    "commits": [
        {"id": "a", "author": {"email": "ann@acme.com"}, "added": ["x", "y"]},
        {"id": "b", "author": {"email": "bob@acme.com"}, "added": []},
        {"id": "c", "author": None},
    ],
    "*": "star",
    "a-b": {"where": 1},
    "items": {"0": "zero"},
    "null": None,
}


@pytest.mark.parametrize(
    "path",
    [
        "$",
        "$.ref",
        "$.repository.full_name",
        "$['repository']['full_name']",
        "$['repository','ref']",
        "$.commits[*].author.email",
        "$.commits[0].id",
        "$.commits[-1].id",
        "$.commits[0,2].id",
        "$.commits[1:].id",
        "$.commits[::2].id",
        "$.commits[::-1].id",
        "$.commits[0:0]",
        "$.*",
        "$.*.*",
        "$..id",
        "$..*",
        "$..author.email",
        "$..commits[*]..email",
        "$.commits[*].added[*]",
        "$['*']",
        "$['it\\'s']",
        "$.items['0']",
        "$.a-b['where']",
        "$.null",
        "$.null.deeper",
        "$.ref[0]",
        "$.missing",
        "$.(repository.owner).login",
        "$.repository.@.id",
        "$.commits[?(@.id=='b')].author.email",
        "$.commits[?(@.author.email)].id",
        "$.commits.`len`",
        "$.repository.`keys`",
        "$.repository.owner.`parent`.id",
        "$.commits[\\id].id",
    ],
)
def test_a_path_selects_what_the_library_selects(path: str) -> None:
    assert compile_path(path).read(PAYLOAD) == [match.value for match in parse(path).find(PAYLOAD)]


_names = st.sampled_from(["a", "b", "c", "d e"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["x", "y", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=25,
)
_segments = st.one_of(
    _names.map(lambda name: f"['{name}']"),
    st.lists(_names, min_size=2, max_size=3, unique=True).map(lambda names: "['" + "','".join(names) + "']"),
    st.just("[*]"),
    st.integers(-3, 3).map(lambda index: f"[{index}]"),
    st.lists(st.integers(-3, 3), min_size=2, max_size=3, unique=True).map(
        lambda found: f"[{','.join(map(str, found))}]"
    ),
    st.tuples(
        st.sampled_from(["", "0", "1", "-2"]), st.sampled_from(["", "2", "-1"]), st.sampled_from(["1", "2", "-1"])
    ).map(lambda parts: f"[{parts[0]}:{parts[1]}:{parts[2]}]"),
    st.sampled_from(["a", "b.a", "@", "@.a", "@.b.c", "@['d e']", "@[0]", "@.a[*]", "@[*].a"]).flatmap(
        lambda target: st.tuples(
            st.sampled_from(["==", "=", "!=", "<", "<=", ">", ">="]),
            st.sampled_from(["1", "0", "-2", "1.0", "1.5", "'x'", '""', "true", "false", "null", "@.b", "$"]),
        ).map(lambda pair: f"[?({target} {pair[0]} {pair[1]})]")
    ),
    st.sampled_from(
        ["[?(@.a)]", "[?(!@.a)]", "[?(@.a && @.b > 0)]", "[?(@.a == 1 || !@.b)]", "[?(@.a[?(@.b)])]", "..[?(@.a)]"]
    ),
    st.sampled_from(
        [
            "[?(@.a == @.b)]",
            "[?(@.a < @.b)]",
            "[?(@.a != @['b'][0])]",
            "[?(@..a == 1)]",
            "[?(@[*] >= $.a)]",
            "[?($.a == 1)]",
        ]
    ),
    st.sampled_from(["..a", "..b", "..*", ".a", ".*", "..['a','b']", ".@", ".(a.b)", "..(a..b)"]),
    st.sampled_from(
        [".`len`", ".`keys`", ".`sorted`", ".`split(y, *, -1)`", ".`split(y, 0, 1)`", ".`split(y, -2, -1)`"]
    ),
    st.sampled_from([".`parent`", "[\\a]", "[/a,\\b]"]),
)


@settings(max_examples=600)
@given(payload=_json, segments=st.lists(_segments, max_size=5))
def test_generated_paths_agree_with_the_library(payload: Any, segments: list[str]) -> None:
    path = "$" + "".join(segments)

    try:
        compiled = compile_path(path)
    except PathError as error:
        assert "may have one .. only" in str(error)
        return
    try:
        expected = [match.value for match in parse(path).find(payload)]
    except Exception:  # noqa: BLE001 - whatever the library raises
        with pytest.raises(EvaluationError):
            compiled.read(payload)
    else:
        assert compiled.read(payload) == expected
        assert [type(value) for value in compiled.read(payload)] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$ref", "a dot is missing after the $: $.ref"),
        ("$.where", "reserved word; write ['where']"),
        ("$.a b", "goes into ['…']"),
        ("$.ä", "goes into ['…']"),
        ("$.a.", "ends with a dot"),
        ("$.a[?(@.b =~ 'x')]", "backtracking"),
        ("$.a.`sub(/x/, y)`", "backtracking"),
        ("$.a + 1", "doesn't compute"),
        ("$.a | $.b", "deprecated"),
        ("$.a[?(@.b == word)]", "deprecated"),
        ("$.a.$.b", "may only begin a path"),
        ("$['a\\nb']", "\\n in a quoted name means n alone here"),
        ('$["\\u0041"]', "write the character itself"),
        ("$.a.0", ".0 is a key called 0: write [0] for a list's item"),
        ("$.a.0.b", "write [0]"),
        ("$.a.-1", "write [-1]"),
        ("$.a[", "not a JSONPath"),
        ("$.a['b", "not a JSONPath"),
        ("$" + ".a" * 4000, "longer than"),
        ("$.a where b", "use elem:"),
        ("$.a.b wherenot c", "use elem:"),
        ("$.a[?(1 == @.b)]", "a literal stands on the right"),
        ("$.a[?('x' == @.b)]", "a literal stands on the right"),
        ("$.a[?(@.b == 1 && true)]", "a literal stands on the right"),
        ("$.a[?(@.b.0 == 1)]", ".0 is a key called 0"),
        ("$['a?'].0", ".0 is a key called 0"),
        ("$['a','a']", "a name stands twice"),
        ("$[0,0]", "an index stands twice"),
        ("$.a[?(@.b contains 'x')]", "a filter is [?(@.name == 'x')]"),
        ("$.a[(@.length-1)]", "write [-1]"),
        ("$.a.length()", "{length: 3}"),
        ("$.a.first()", "no functions with brackets"),
        ("$...a", "two dots are for any depth"),
        ("$.a[1:2,3]", "one slice, or several indices"),
        ("$.a[0,'b']", "several names, or several indices"),
        ("$.a.`foo`", "the functions are `len`"),
        ("$" + "[?(@.a" * 300 + ")]" * 300, "nested too deeply"),
        ("$." + "(a." * 300 + "b" + ")" * 300, "nested too deeply"),
        ("$.a" + ".`parent`" * 250, "more than 100 segments"),
        ("$..a..b.`parent`", "may have one .. only"),
    ],
)
def test_a_path_that_would_mislead_is_refused_with_the_reason(path: str, message: str) -> None:
    with pytest.raises(PathError) as caught:
        compile_path(path)

    assert message in str(caught.value)


def test_a_thousand_segments_are_followed_without_recursion() -> None:
    payload: Any = "deep"
    for _ in range(1000):
        payload = {"a": payload}

    assert compile_path("$" + ".a" * 1000).read(payload) == ["deep"]


def test_hundreds_of_descents_are_followed_without_recursion() -> None:
    payload: Any = "deep"
    for number in reversed(range(400)):
        payload = {f"n{number}": payload}

    assert compile_path("$" + "".join(f"..n{number}" for number in range(400))).read(payload) == ["deep"]


def test_a_name_that_is_quoted_is_never_a_wildcard() -> None:
    assert compile_path("$['*'].`len`").read({"*": "ab", "b": "abc"}) == [2]
    assert compile_path("$[?(@['*'] == 1)].b").read([{"*": 1, "b": 2}, {"a": 1, "b": 3}]) == [2]


def test_numbers_in_filters_are_no_segments() -> None:
    assert compile_path("$[?(@.a > 1.5 && @.b != -0.25)].a").read([{"a": 2, "b": 1}, {"a": 1}]) == [2]


def test_a_path_that_fails_on_a_payload_says_so_without_its_values() -> None:
    with pytest.raises(EvaluationError) as caught:
        compile_path("$.a[?(@.b > 1)].`parent`.`parent`.`parent`.`parent`.`parent`").read(
            {"a": [{"b": 2, "c": "secret"}]}
        )

    assert "secret" not in str(caught.value)


def test_a_path_that_multiplies_values_is_stopped() -> None:
    payload: Any = []
    for _ in range(150):
        payload = [payload, *[[]] * 500]

    with pytest.raises(EvaluationError, match=str(MAX_VALUES)):
        compile_path("$..*..*..*").read(payload)


def _nested(innermost: Any, depth: int) -> Any:
    payload = innermost
    for _ in range(depth):
        payload = {"a": payload}
    return payload


WIDE = [{"b": [1, 2], "c": 1}] * 30_000


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("$..a..b", _nested(WIDE, 190)),
        ("$..*..b", _nested(WIDE, 190)),
        ("$..(a..b)", _nested(WIDE, 190)),
        ("$[?($[*].c == 2)]", WIDE),
        ("$[*].b.`parent`", WIDE),
        ("$[/c]", WIDE),
        ("$.`sorted`", [1.5, 2.5] * 100_000),
        ("$" + "[0,-1]" * 190, json.loads("[" * 190 + "]" * 190)),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_path_that_would_take_long_is_stopped(monkeypatch: pytest.MonkeyPatch, path: str, payload: Any) -> None:
    monkeypatch.setattr(jsonpath, "MAX_VISITED", 1_000_000)  # so that the test is quick

    with pytest.raises(EvaluationError):
        compile_path(path).read(payload)


@pytest.mark.parametrize(
    "path",
    [
        "$[?(@.b == @.c)].x",
        "$[?(@.b[0] > $.limit && @.c != 'x')]",
        "$[*].`len`",
        "$..b.`keys`",
        "$[*].b.`split(x, *, -1)`",
        "$.`sorted`[0]",
        "$[?(@..b)][?(@[?(@.c)])]",
    ],
)
def test_these_never_go_through_the_library(path: str) -> None:
    """Its `find` takes some 10 µs for each value."""
    assert compile_path(path).read.__name__ == "follow"


def _paths_of(payload: Any) -> set[str]:
    """Every path to a value of the payload, with list places written as [*], as they would be in a rule."""
    found: set[str] = set()
    stack: list[tuple[str, Any]] = [("$", payload)]
    while stack:
        path, value = stack.pop()
        found.add(path)
        if isinstance(value, dict):
            stack += [(f"{path}['{name}']", inner) for name, inner in value.items()]
        elif isinstance(value, list):
            stack += [(f"{path}[*]", inner) for inner in value]
    return found


def test_every_path_of_payloads_agrees_with_the_library() -> None:
    payloads = [json.loads(body) for _, body in itertools.islice(bodies(40), 120)]
    paths = set().union(*map(_paths_of, payloads))
    paths |= {f"$..{name}" for name in ("login", "id", "name", "labels[*].name", "user.login")}
    assert len(paths) > 50

    for path in sorted(paths):
        ours, theirs = compile_path(path), parse(path)
        for payload in payloads:
            assert ours.read(payload) == [match.value for match in theirs.find(payload)], path
