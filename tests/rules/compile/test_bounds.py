"""The work of loading a rules file is limited by its size, for any content."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.domain.work_budget import SUGGESTIONS
from router.rules.compile.loader import Loaded, Loader
from router.rules.yaml import document
from router.rules.yaml.document import MAX_BYTES, MAX_DEPTH, MAX_DIRECTIVES
from router.rules.yaml.problems import MAX_PROBLEMS
from router.runtime.pacing import TooLong, resting_while_busy
from tests.conftest import number_of_examples

HEAD = "sources:\n  s: {verify: none}\n"
ACTIONS = "actions: [{append: ./x}]"
RULE = f"rules:\n- name: a\n  {ACTIONS}\n"
#: of CPU time. Each of these texts takes less than one second. Without its limit it takes much longer or for ever.
SECONDS = 6.0
COUNT = number_of_examples(2_000)


def _lines(make: Callable[[int], str], count: int = COUNT) -> str:
    return "".join(make(number) for number in range(count))


def _load(text: str) -> Loaded:
    return Loader(REGISTRIES, {}, require_secrets=False).load(text, "rules.yaml", Path("/"))


def _sources(count: int) -> str:
    return "sources:\n" + _lines(lambda i: f"  src{i}: {{verify: none}}\n", count)


def _match(text: str) -> str:
    return HEAD + RULE + "  match:\n    all:\n" + text


def _nested(text: str, times: int, inner: str = "{gt: 1}") -> str:
    for _ in range(times):
        inner = text.replace("HERE", inner)
    return f"{HEAD}{RULE}  match: {{$.a: {inner}}}\n"


TEXTS: dict[str, Callable[[], str]] = {
    "unknown sources": lambda: (
        _sources(COUNT) + "rules:\n" + _lines(lambda i: f"- {{name: r{i}, source: srd{i}, {ACTIONS}}}\n")
    ),
    "globs without a source": lambda: (
        _sources(COUNT // 4)
        + "rules:\n"
        + _lines(lambda i: f"- {{name: r{i}, source: 'zz{i}*', {ACTIONS}}}\n", COUNT // 4)
    ),
    "unknown keys": lambda: HEAD + RULE + _lines(lambda i: f"  actinos{i}: 1\n"),
    "unknown operators": lambda: HEAD + RULE + "  match:\n    $.a:\n" + _lines(lambda i: f"      prefxi{i}: 1\n"),
    "unknown fields": lambda: HEAD + RULE + "  match:\n" + _lines(lambda i: f"    headres{i}: 1\n"),
    "unknown targets": lambda: (
        HEAD
        + "targets:\n"
        + _lines(lambda i: f"  t{i}: {{url: 'http://a/'}}\n", COUNT // 4)
        + "rules:\n- name: a\n  actions:\n"
        + _lines(lambda i: f"  - {{name: a{i}, forward: {{target: u{i}}}}}\n", COUNT // 4)
    ),
    "duplicate keys": lambda: HEAD + RULE + _lines(lambda i: "x-a: 1\n", 5 * COUNT),
    "a long line": lambda: f"{HEAD}{RULE}x-a: [" + "a ," * 100_000 + "]\n",
    "a long line with a comment": lambda: f"{HEAD}{RULE}x-a: [" + "a ," * 100_000 + "] #x\n",
    "directives": lambda: "%TAG !a! b\n" * 200_000 + HEAD + RULE,
    "directives of a second document": lambda: HEAD + RULE + "...\n" + "%TAG !a! b\n" * 200_000 + "---\n" + HEAD,
    "nested elements": lambda: _nested("{elem: {$.a: HERE}}", 40),
    "bounds": lambda: _match(_lines(lambda i: f"    - $.a: {{gt: {i}}}\n    - $.a: {{lt: {10**9 - i}}}\n")),
    "beginnings": lambda: _match(_lines(lambda i: f"    - $.a: {{prefix: '{'a' * (1 + i % 50)}'}}\n")),
    "nots": lambda: _match("    - $.a: {regex: b}\n" + _lines(lambda i: f"    - $.a: {{not: v{i}}}\n")),
    "lists of objects": lambda: _match(
        "    - $.a: {in: [" + _lines(lambda i: f"{{a: {i}}}, ") + "x]}\n"
        "    - $.a: {in: [" + _lines(lambda i: f"{{b: {i}}}, ") + "x]}\n"
    ),
    "a list and many nots": lambda: _match(
        "    - $.a: {in: ["
        + _lines(lambda i: f"v{i}, ")
        + "x]}\n"
        + _lines(lambda i: f"    - $.a: {{not: {{prefix: z{i}}}}}\n")
    ),
    "many branches": lambda: _match(_lines(lambda i: f"    - any: [{{$.a: v{i}}}, {{$.b: w{i}}}]\n")),
    "one large value many times": lambda: (
        f"{HEAD}x-a: &a '{'b' * 1_000_000}'\n"
        "rules:\n- name: a\n  actions:\n" + _lines(lambda i: f"  - {{name: a{i}, append: *a}}\n")
    ),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_kind_of_file_loads_quickly(kind: str) -> None:
    text = TEXTS[kind]()
    assert len(text) < MAX_BYTES
    began = time.thread_time()

    with resting_while_busy(lambda: False, seconds=10 * SECONDS):  # so that a busy machine does not stop the load
        loaded = _load(text)

    assert time.thread_time() - began < SECONDS
    assert len(loaded.problems) < 2 * MAX_PROBLEMS
    assert all(len(str(problem)) < 3_000 for problem in loaded.problems)


def test_nested_aliases_count_against_the_depth_limit() -> None:
    """Without the limit 10 kB of nested aliases overflow Python's stack."""
    text = HEAD + "x-0: &a0 1\n" + _lines(lambda i: f"x-{i + 1}: &a{i + 1} [*a{i}]\n", 400)

    [problem] = _load(text).problems

    assert problem.message == f"nested deeper than {MAX_DEPTH} levels, by *a99"
    assert problem.line == 103


def test_nesting_up_to_the_limit_loads() -> None:
    text = HEAD + RULE + "x-0: &a0 1\n" + _lines(lambda i: f"x-{i + 1}: &a{i + 1} [*a{i}]\n", 98)

    assert _load(text).problems == ()


@pytest.mark.parametrize("alias", ["x-a: &a {b: *a}", "x-a: &a [*a]", "x-a: &a {*a : 1}", "x-a: {<<: {b: 1}}"])
def test_circular_aliases_and_merge_keys_are_errors(alias: str) -> None:
    assert len(_load(f"{HEAD}{RULE}{alias}\n").errors) == 1


def test_large_texts_repeated_by_aliases_are_limited() -> None:
    loaded = _load(f"{HEAD}{RULE}x-a: &a '{'b' * 1_000_000}'\nx-b: [{'*a, ' * 20}]\n")

    assert [problem.message for problem in loaded.errors] == ["the aliases add up to more than 16 MiB of text"]


def test_a_file_with_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert document.MAX_NODES == 2_000_000  # reading so many values takes ten seconds
    monkeypatch.setattr(document, "MAX_NODES", 2_000)

    assert _load(f"{HEAD}{RULE}x-a: [{'1,' * 1_900}]\n").errors == ()
    loaded = _load(f"{HEAD}{RULE}x-a: [{'1,' * 2_001}]\n")

    assert [problem.message for problem in loaded.errors] == ["the file has more than 2,000 values and keys; split it"]


def test_problems_of_each_level_are_listed_up_to_a_limit_and_then_counted() -> None:
    text = HEAD + "rules:\n" + "- 1\n" * 5_000 + "x-a:\n" + "- 01\n" * 3_000
    loaded = _load(text)

    errors = [problem for problem in loaded.problems if problem.level is Level.ERROR]
    assert len(errors) == MAX_PROBLEMS + 1
    assert errors[-1].message == "4,000 more errors are not shown, from here on and elsewhere; fix the others first"
    assert errors[-1].line == 3 + MAX_PROBLEMS + 1
    warnings = [problem for problem in loaded.problems if problem.level is Level.WARNING]
    assert "2,000 more warnings" in warnings[-1].message


def test_errors_are_listed_despite_thousands_of_notes() -> None:
    secrets = _lines(lambda i: f"  S{i}: {{env: V{i}}}\n", 3_000)
    loaded = _load(f"{HEAD}secrets:\n{secrets}{RULE}  odd: 1\n")

    assert loaded.ruleset is None
    assert "odd" in str(loaded.errors)


def test_suggestions_are_limited() -> None:
    loaded = _load(HEAD + "rules:\n" + _lines(lambda i: f"- {{nmae: a, {ACTIONS}}}\n", 500))

    near = [problem for problem in loaded.problems if "did you mean" in problem.message]
    assert len(near) == SUGGESTIONS
    assert len([problem for problem in loaded.problems if 'unknown key "nmae"' in problem.message]) == 500


def test_messages_shorten_long_words() -> None:
    word = "w" * 100_000
    loaded = _load(
        f"{HEAD}rules:\n- name: {word}\n  {ACTIONS}\n  match:\n    ? {word}\n    : 1\n    $.a:\n      ? {word}\n      : 1\n"
        f"? {word}\n: 1\n"
    )

    assert len(loaded.errors) == 4
    assert all(len(str(problem)) < 500 for problem in loaded.problems)


def test_a_few_tag_directives_are_accepted() -> None:
    assert _load("%YAML 1.2\n" + "%TAG !a! b\n" + "---\n" + HEAD + RULE).problems == ()
    assert "more than 100 %TAG lines" in str(
        _load("".join(f"%TAG !{i}! b\n" for i in range(MAX_DIRECTIVES + 1))).problems
    )


def test_numeric_operators_in_nested_elements_load() -> None:
    loaded = _load(_nested("{elem: {$.a: HERE}}", 3))

    assert loaded.problems == ()


def test_a_load_stops_at_its_time_limit() -> None:
    with pytest.raises(TooLong), resting_while_busy(lambda: False, seconds=0.01):
        _load(HEAD + "rules:\n" + _lines(lambda i: f"- {{name: r{i}, {ACTIONS}}}\n"))
