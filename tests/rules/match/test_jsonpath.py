"""Paths find what jsonpath-ng's `find` finds, in its order, each place once. Misleading paths are refused."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse

from router.domain.errors import EvaluationError
from router.rules.match.jsonpath import PathError, compile_path, limits
from router.rules.match.jsonpath.limits import Work
from router.rules.match.jsonpath.parse import parse as parse_path
from router.rules.match.jsonpath.tree import nodes
from tests.acceptance.github_payloads import bodies
from tests.cases import each
from tests.conftest import examples, number_of_examples
from tests.rules.match import reference_matcher as specification

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


@each(
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
    assert compile_path(path).read(PAYLOAD) == expected(path, PAYLOAD)


def expected(path: str, payload: Any) -> list[Any]:
    """The values that the library finds, each place once. Raises what the library raises."""
    places: dict[Any, Any] = {}
    for match in parse(path).find(payload):
        places.setdefault(_place(match), match.value)
    return list(places.values())


def _place(match: Any) -> tuple[Any, ...]:
    """The names and indices that lead to a value. The result of a function has a place of its own."""
    steps: list[Any] = []
    while match.context is not None:
        value, above = match.value, match.context.value
        index = match.path.indices[0] % len(above) if isinstance(above, list) else match.path.fields[0]
        assert above[index] is value
        steps.append(index)
        match = match.context
    return (id(match.value) if isinstance(match.value, list | dict) else id(match), *reversed(steps))


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


@examples(120)
@given(payload=_json, segments=st.lists(_segments, max_size=5))
def test_generated_paths_agree_with_the_library(payload: Any, segments: list[str]) -> None:
    path = "$" + "".join(segments)

    compiled = compile_path(path)
    try:
        wanted = expected(path, payload)
    except Exception:  # noqa: BLE001 - the library may raise anything
        with pytest.raises(EvaluationError):
            compiled.read(payload)
    else:
        assert compiled.read(payload) == wanted
        assert [type(value) for value in compiled.read(payload)] == [type(value) for value in wanted]


@each(
    ("path", "message"),
    [
        ("$ref", "a dot is missing after the $: $.ref"),
        ("$.where", "reserved word; write ['where']"),
        ("$.a b", "goes into ['…']"),
        ("$.price€", "goes into ['…']"),
        ("$größe", "a dot is missing after the $: $.größe"),
        ("$.a[?(@.b == größe)]", "a filter is [?(@.name == 'x')]"),
        ("$.a[?(!!(@.b == 1))]", "a filter is"),
        ("$.a[?(!(@.b == 1).c)]", "a filter is"),
        ("$.a[?(!(@.b == 1) == 2)]", "a filter is"),
        ("$.a[?(!(@.b == ))]", "a filter is"),
        ("$.a[?(!())]", "a filter is"),
        ("$.a.!(@.b == 1)", "not a JSONPath"),
        ("$.a[?(!(1 == @.b))]", "a literal belongs on the right"),
        ("$.a[?" + "(!" * 300 + "(@.b == 1)" + ")" * 300 + "]", "nested too deeply"),
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
        ("$.a[?(1 == @.b)]", "a literal belongs on the right"),
        ("$.a[?('x' == @.b)]", "a literal belongs on the right"),
        ("$.a[?(@.b == 1 && true)]", "a literal belongs on the right"),
        ("$.a[?(@.b.0 == 1)]", ".0 is a key called 0"),
        ("$['a?'].0", ".0 is a key called 0"),
        ("$['a','a']", "a name is repeated"),
        ("$[0,0]", "an index is repeated"),
        ("$.a[?(@.b contains 'x')]", "a filter is [?(@.name == 'x')]"),
        ("$.a[(@.length-1)]", "write [-1]"),
        ("$.a.length()", "{length: 3}"),
        ("$.a.first()", "no functions with brackets"),
        ("$...a", "two dots stand for any depth"),
        ("$.a[1:2,3]", "one slice, or several indices"),
        ("$.a[0,'b']", "several names, or several indices"),
        ("$.a.`foo`", "the functions are `len`"),
        ("$" + "[?(@.a" * 300 + ")]" * 300, "nested too deeply"),
        ("$." + "(a." * 300 + "b" + ")" * 300, "nested too deeply"),
    ],
)
def test_the_error_for_a_misleading_path_names_the_reason(path: str, message: str) -> None:
    with pytest.raises(PathError) as caught:
        compile_path(path)

    assert message in str(caught.value)


def test_a_path_of_a_thousand_segments_does_not_recurse() -> None:
    payload: Any = "deep"
    for _ in range(1000):
        payload = {"a": payload}

    assert compile_path("$" + ".a" * 1000).read(payload) == ["deep"]


def test_a_path_of_hundreds_of_descents_does_not_recurse() -> None:
    payload: Any = "deep"
    for number in reversed(range(400)):
        payload = {f"n{number}": payload}

    assert compile_path("$" + "".join(f"..n{number}" for number in range(400))).read(payload) == ["deep"]


def test_a_quoted_name_is_never_a_wildcard() -> None:
    assert compile_path("$['*'].`len`").read({"*": "ab", "b": "abc"}) == [2]
    assert compile_path("$[?(@['*'] == 1)].b").read([{"*": 1, "b": 2}, {"a": 1, "b": 3}]) == [2]


def test_numbers_in_filters_are_not_read_as_segments_of_a_path() -> None:
    assert compile_path("$[?(@.a > 1.5 && @.b != -0.25)].a").read([{"a": 2, "b": 1}, {"a": 1}]) == [2]


def test_the_error_for_a_failing_path_hides_payload_values() -> None:
    with pytest.raises(EvaluationError) as caught:
        compile_path("$.a[?(@.b > 1)].`parent`.`parent`.`parent`.`parent`.`parent`").read(
            {"a": [{"b": 2, "c": "secret"}]}
        )

    assert "secret" not in str(caught.value)


def _nested(innermost: Any, depth: int) -> Any:
    payload = innermost
    for _ in range(depth):
        payload = {"a": payload}
    return payload


WIDE = [{"b": [1, 2], "c": 1}] * 3_000
DEEP = _nested(json.loads("[" + ",".join(["{}"] * 18_000) + "]"), 190)  # 56 kB


@pytest.mark.parametrize(
    "path",
    [
        *("$..a..b", "$..a..a..a", "$..*..b", "$..(a..b)", "$..*..*..*", "$..a[?(@.b)]", "$..['a','b']..['a','c']"),
        *("$..a..a.`parent`", "$..a.`parent`..a.`parent`", "$..*..`keys`", "$..a[*]..b[0,-1]"),
    ],
)
def test_each_descent_visits_each_list_and_mapping_once(path: str) -> None:
    """Then the number of steps grows with the size of the payload only."""
    payload = _nested([{"b": number} for number in range(50)], 190)

    assert _steps(path, payload) < limits.size_of(payload) * len(list(nodes(parse_path(path))))


_plain_segments = st.sampled_from(
    [
        "..a",
        "..*",
        ".a",
        "[*]",
        "['a','b']",
        "[0,-1]",
        "[1:]",
        "[::-1]",
        ".(a..b)",
        "..(*.*)",
        "..[?(@.a)]",
        "[?(@.a == 1)]",
    ]
)


@examples(100)
@given(payload=_json, segments=st.lists(_plain_segments, max_size=6))
def test_steps_grow_linearly_with_the_payload(payload: Any, segments: list[str]) -> None:
    path = "$" + "".join(segments)

    assert _steps(path, payload) <= limits.size_of(payload) * len(list(nodes(parse_path(path))))


def _steps(path: str, payload: Any) -> int:
    work = Work(payload)
    work.add(-(10**9))

    def read() -> list[Any]:
        limits._shared.work = work
        try:
            return compile_path(path).read(payload)
        finally:
            limits._shared.work = None

    read()
    return limits.FREE_STEPS + 10**9 - work._left


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("$..[?(@..b)]", DEEP),
        ("$..[?(@..a..b || !(@..c == 1))]", DEEP),
        ("$..[?(@..[?(@..b)])]", DEEP),
        ("$..*[?($..* == @[0])]", DEEP),
        ("$[?($[*].c == @.b[0])]", [{"b": [n], "c": -1} for n in range(3_000)]),
        ("$..a.`split(x, *, -1)`[?($..`split(x, *, -1)`[*] == @.y)]", {"a": "x" * 56_000}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_filter_that_reads_the_same_values_too_often_is_stopped(path: str, payload: Any) -> None:
    with pytest.raises(EvaluationError, match="too many steps"):
        compile_path(path).read(payload)


@pytest.mark.parametrize(
    ("path", "payload", "found"),
    [
        ("$[?($[*].c == 2)]", WIDE, 0),
        ("$[?($[*].c == 1)].b[0]", WIDE, 3_000),
        ("$[*].b.`parent`", json.loads(json.dumps(WIDE)), 3_000),
        ("$[/c]", WIDE, 1),
        ("$.`sorted`", [1.5, 2.5] * 100_000, 1),
        ("$..a..b", DEEP, 0),
        ("$..a", DEEP, 190),
        ("$" + "[0,-1]" * 190, json.loads("[" * 190 + "1" + "]" * 190), 1),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_path_over_a_large_payload_is_followed(path: str, payload: Any, found: int) -> None:
    assert len(compile_path(path).read(payload)) == found


def test_real_payloads_stay_far_below_the_limit() -> None:
    payloads = [json.loads(body) for _, body in itertools.islice(bodies(40), 60)]
    shapes = ["$..*..*..*", "$..[?(@..login)]..id", "$..*[?(!(@..name == 'x'))]..*", "$..[?($..id == @.id)].`parent`"]

    for path in shapes:
        assert max(_steps(path, payload) for payload in payloads) < limits.FREE_STEPS, path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.größe", [1]),
        ("$..größe", [1, 2, 3, 2.5]),
        ("$.größe.x", []),
        ("$.naïve.größe", [2]),
        ("$['naïve'].größe", [2]),
        ("$.(naïve.größe)", [2]),
        ("$.liste[?(@.größe == 3)].größe", [3]),
        ("$.liste[?(größe == 3)].größe", [3]),
        ("$.liste[?(!(@.größe == 3 || @.@typ == 'ä'))].名前", ["x"]),
        ("$.liste[*].名前", ["y", "x"]),
        ("$[größe,'naïve']", [1, {"größe": 2}]),
        ("$.liste[\\größe][2].@typ", ["ä"]),
        ("$.naïve.größe.`parent`.größe", [2]),
        ("$.Ελληνικά_1-Ω", [4]),
        ("$.cafe\u0301", [5]),
        ("$.café", []),  # another Unicode form of the letter is another name, as in JSON
        ("$.हिन्दी", [6]),
        ("$.liste[?(@.名前 == 'größe.x')]", []),
    ],
)
def test_names_may_have_letters_of_any_script(path: str, found: list[Any]) -> None:
    payload = {
        "größe": 1,
        "naïve": {"größe": 2},
        "liste": [{"größe": 3, "名前": "y"}, {"größe": 2.5, "名前": "x"}, {"@typ": "ä"}],
        "Ελληνικά_1-Ω": 4,
        "cafe\u0301": 5,
        "हिन्दी": 6,
    }

    assert compile_path(path).read(payload) == found


_leaves = st.sampled_from(
    ["@.a", "@.b == 1", "@.a != 'x'", "@[*] > 0", "@['d e']", "$.a", "@.a == @.b", "@..b", "!@.a", "@.c == '!('"]
)
_expressions = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        inner.map(lambda one: f"!({one})"),
        inner.map(lambda one: f"! ( {one} )"),
        inner.map(lambda one: f"({one})"),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join),
    ),
    max_leaves=6,
)


@examples(80)
@given(payload=_json, expression=_expressions)
def test_a_negated_expression_agrees_with_the_specification(payload: Any, expression: str) -> None:
    items = payload if isinstance(payload, list) else list(payload.values()) if isinstance(payload, dict) else []
    wanted = [item for item in items if specification.passes(expression, item, payload)]

    assert compile_path(f"$[?({expression})]").read(payload) == wanted
    assert compile_path(f"$[?{expression}]").read(payload) == wanted


def _paths_of(payload: Any) -> set[str]:
    """The paths to all values of the payload, with [*] for list indices, as in a rule."""
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


def test_every_path_of_real_payloads_agrees_with_the_library() -> None:
    payloads = [json.loads(body) for _, body in itertools.islice(bodies(40), number_of_examples(120))]
    paths = set().union(*map(_paths_of, payloads))
    paths |= {f"$..{name}" for name in ("login", "id", "name", "labels[*].name", "user.login")}
    assert len(paths) > 50

    for path in sorted(paths):
        ours, theirs = compile_path(path), parse(path)
        for payload in payloads:
            assert ours.read(payload) == [match.value for match in theirs.find(payload)], path


@pytest.mark.parametrize("name", ["a", "parent", "len", "keys", "sorted", "where_", "wherenot1", "and", "or", "true"])
def test_a_path_of_names_is_parsed_as_by_the_library(name: str) -> None:
    assert parse_path(f"$.{name}.b") == parse(f"$.{name}.b")


@pytest.mark.parametrize("name", ["where", "wherenot"])
def test_a_name_that_the_library_reserves_is_refused(name: str) -> None:
    with pytest.raises(PathError, match="reserved word"):
        parse_path(f"$.{name}")
    with pytest.raises(JSONPathError):
        parse(f"$.{name}")
