"""The YAML reader follows the core schema of YAML 1.2, notes line and column of each node, and has limits."""

from typing import Any

import pytest

from router.rules.yaml.document import MAX_ALIASED, MAX_DEPTH, read
from router.rules.yaml.nodes import MappingNode, data
from router.rules.yaml.yaml_problem import DocumentError
from tests.cases import each


@each(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1e3", 1000.0),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("-7", -7),
        ("+7", 7),
        (".5", 0.5),
        ("5.", 5.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("'null'", "null"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", float(2**64)),
    ],
)
def test_a_scalar_has_its_type_of_the_core_schema(text: str, value: Any) -> None:
    found = data(read(f"a: {text}")[0])["a"]

    assert found == value
    assert type(found) is type(value)


def test_every_node_has_its_line_and_column() -> None:
    root, _ = read("a: 1\nb:\n  - x\n  - {c: y}\n")

    assert isinstance(root, MappingNode)
    key, value = root.entries["b"]
    assert (key.line, key.column) == (2, 1)
    assert (value.line, value.column) == (3, 3)


def test_keys_are_always_text() -> None:
    assert data(read("on: 1\n200: 2\ntrue: 3")[0]) == {"on": 1, "200": 2, "true": 3}


def test_an_alias_resolves_to_its_anchor() -> None:
    assert data(read("a: &x [1, 2]\nb: *x")[0]) == {"a": [1, 2], "b": [1, 2]}


def test_a_number_with_a_leading_zero_gets_a_warning() -> None:
    root, warnings = read("a: 0123")

    assert data(root) == {"a": 123}
    assert [(w.line, w.column, w.level) for w in warnings] == [(1, 4, "warning")]


@each(
    ("text", "place", "message"),
    [
        ("", (1, 1), "the file is empty"),
        ("# nothing\n", (1, 1), "the file is empty"),
        ("null", (1, 1), "the file is empty"),
        ("a: 1\nb: 2\na: 3", (3, 1), 'duplicate key "a"; it is on line 1 already'),
        ("a: {{ x }}", (1, 5), "needs quotes"),
        ("h: {X-Ref: {{ payload.ref }}}", (1, 13), "needs quotes"),
        ("a: *.py", (1, 5), "quote a value that starts with *"),
        ("a: *py", (1, 4), "is not the name of an anchor above it"),
        ("{$.a[*]: x}", (1, 7), "quote a path with brackets"),
        ('a: "\\d"', (1, 5), "use single quotes"),
        ("a: b: c", (1, 5), "quote a value that contains a colon"),
        ("a:\n\t- b", (2, 1), "indent with spaces"),
        ("a: @x", (1, 4), "quote a value that starts with @"),
        ("a: !push", (1, 4), "quote a value that starts with an exclamation mark"),
        ("a: [1, 2", (2, 1), "which began on line 1"),
        ("a: &a [*a]", (1, 8), "contains itself"),
        ("<<: {a: 1}", (1, 1), "merge keys"),
        ("? [a]\n: b", (1, 3), "a key must be text"),
        ("~: x", (1, 1), "a key is missing"),
        ("a: 1\n---\nb: 2", (2, 1), "a second document"),
        ("a: \x00", (1, 4), "U+0000"),
        ("a: \ud800", (1, 4), "surrogate"),
        ("a: .nan", (1, 4), "can't occur in a payload"),
        ("a: " + "9" * 5000, (1, 4), "too large"),
        ("a: !!int x", (1, 4), "is not what its tag"),
    ],
)
def test_a_problem_names_its_place_and_cure(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(text)

    problem = caught.value.problems[0]
    assert (problem.line, problem.column) == place
    assert message in problem.message


def test_every_duplicate_key_is_reported() -> None:
    with pytest.raises(DocumentError) as caught:
        read("a: 1\na: 2\nb: {c: 1, c: 2}")

    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(2, 1), (3, 11)]


@pytest.mark.parametrize("text", ["[" * 50_000, "{a: " * 50_000, "- " * 50_000, "a: " + "[" * (MAX_DEPTH + 1)])
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="nested deeper"):
        read(text)


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]

    with pytest.raises(DocumentError, match=str(MAX_ALIASED)):
        read("\n".join(lines))


def test_a_huge_file_is_refused() -> None:
    with pytest.raises(DocumentError, match="larger than 16 MiB"):
        read("#" + "x" * (16 * 1024 * 1024))
