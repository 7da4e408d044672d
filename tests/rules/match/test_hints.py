"""The error for a word of another tool suggests the right word, and never one with the opposite meaning."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.rules.compile.loader import Loader
from router.rules.compile.operators import WORDS
from router.rules.match import hints
from tests.cases import each


@pytest.fixture
def rules_problems(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return a function that lists the problems of a rules file. A file with warnings alone must load."""

    def problems(text: str) -> list[str]:
        loaded = Loader(REGISTRIES, {}).load(text, "rules.yaml", tmp_path)
        assert (loaded.ruleset is None) is any(problem.level is Level.ERROR for problem in loaded.problems)
        return [f"{problem.level.value}: {problem.message}" for problem in loaded.problems]

    return problems


def hint(name: str) -> str:
    """The hint in the error for an unknown operator."""
    return hints.unknown_operator(name, WORDS).partition(";")[2].strip()


@each(
    ("name", "cure"),
    [
        *((name, 'did you mean "equals"?') for name in ("eq", "==", "=", "equal", "is", "Equals", "EQ", "equal_to", "eqauls")),
        *((name, 'did you mean "not"?') for name in ("not_equals", "notEquals", "ne", "neq", "!=", "<>", "noteq", "isnot")),
        *((name, 'did you mean "not"?') for name in ("not_equal", "is_not", "isn't", "unequal", "nequals", "does-not-equal")),
        *((name, 'did you mean "prefix"?') for name in ("starts_with", "startsWith", "startswith", "begins_with")),
        *((name, 'did you mean "suffix"?') for name in ("ends_with", "endsWith", "has_suffix", "sufix")),
        *((name, 'did you mean "regex"?') for name in ("matches", "match", "regexp", "=~", "~", "pattern")),
        *((name, 'did you mean "glob"?') for name in ("like", "wildcard")),
        *((name, 'did you mean "contains"?') for name in ("includes", "has", "include", "contians")),
        *((name, 'did you mean "in"?') for name in ("in_list", "inList", "one_of", "any_of", "any")),
        *((name, 'did you mean "gt"?') for name in (">", "greater_than", "greaterThan", "$gt")),
        *((name, 'did you mean "gte"?') for name in (">=", "ge", "min", "at_least", "greater_than_or_equal")),
        *((name, 'did you mean "lt"?') for name in ("<", "less_than", "below")),
        *((name, 'did you mean "lte"?') for name in ("<=", "le", "max", "at_most", "lessThanOrEqual")),
        *((name, 'did you mean "length"?') for name in ("size", "len", "count", "lenght")),
        *((name, 'did you mean "exists"?') for name in ("present", "exist", "defined", "is_set")),
        *((name, 'did you mean "every"?') for name in ("all", "all_of")),
        *((name, 'did you mean "ignore_case"?') for name in ("icase", "ignoreCase", "case_insensitive", "nocase")),
        *((name, "write not: [ … ]") for name in ("not_in", "nin", "notIn", "not in", "not_in_list", "$nin")),
        *((name, "write not: {contains: …}") for name in ("not_contains", "doesNotContain", "notIncludes", "excludes")),
        *((name, "write not: {regex: …}") for name in ("not_matches", "notMatch", "!~", "does_not_match", "not_regex")),
        *((name, "write not: {prefix: …}") for name in ("not_starts_with", "notStartsWith", "not_prefix")),
        *((name, "write not: {glob: …}") for name in ("not_like", "nlike", "not_glob")),
        *((name, "write exists: false") for name in ("not_exists", "notExists", "missing", "absent", "not_present", "undefined")),
        *((name, "write exists: true") for name in ("not_missing", "is_not_missing", "not_absent")),
        *((name, "write {gte: …, lte: …}") for name in ("between", "range")),
        *((name, "write null (equals: null)") for name in ("is_null", "isNull", "null", "nil")),
        *((name, "write not: null") for name in ("is_not_null", "not_null", "isNotNull", "notnull")),
        *((name, "write length: 0") for name in ("empty", "is_empty", "isEmpty", "blank")),
        *((name, "write not: {length: 0}") for name in ("not_empty", "isNotEmpty", "nonempty")),
        ("iequals", "write {equals: …, ignore_case: true}"),
        ("icontains", "write {contains: …, ignore_case: true}"),
        ("subnet", 'did you mean "cidr"?'),
    ],
)  # fmt: skip
def test_the_error_for_an_operator_of_another_tool_names_the_cure(name: str, cure: str) -> None:
    assert hint(name) == cure


@pytest.mark.parametrize("negation", ["not_", "not", "is_not_", "doesNot", "non_", "!", "no_", "isn't_", "never_"])
def test_a_negated_word_gets_a_negated_suggestion(negation: str) -> None:
    words = {*WORDS, *hints._SYNONYMS, *hints._WORDS} - {"not", "without", "nor", "noneof", "none", "unset"}
    assert len(words) > 150
    for word in words:
        said = hint(negation + word)

        assert not re.search(r'did you mean "(?!not"|none")', said), (word, said)
        assert "not" in said or "exists: " in said or said.startswith("known:"), (word, said)


@pytest.mark.parametrize("name", ["xyz", "foo", "g", "nt", "nope", "1", "", "größer", "…", "a" * 300])
def test_the_error_for_an_unrelated_word_lists_the_operators(name: str) -> None:
    assert hint(name).startswith("known: age, cidr, contains"), hint(name)


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("hour: 8", '"time" ("09:30") and "weekday" (mon) say when the event was received'),
        ("date: x", '"time" ("09:30") and "weekday" (mon) say when'),
        ("params.team: x", "no path of the rule's sources has {team}; write it there: path: /hooks/{team}"),
        ("param.team: x", 'a query parameter is "query.team", a named part of the source\'s path "params.team"'),
        ("item.severity: x", 'a rule with for_each: for_each: "$.list[*]"; below elem, $ is the item: "$.severity"'),
        ("item: x", 'a rule with for_each: for_each: "$.list[*]"'),
        ("X-GitHub-Event: push", 'a header is "headers.X-GitHub-Event"'),
        ("content-type: x", 'a header is "headers.content-type"'),
        ("note: x", 'Else a field of the payload is a JSONPath: "$.note"'),
        ("ref: x", 'unknown field "ref"; a field of the payload is a JSONPath: "$.ref"'),
        ("payload: x", 'the whole payload is "$"'),
        ("client_ip: x", 'did you mean "ip"?'),
        ("url: x", 'did you mean "path"?'),
        ("or: [{$.a: 1}]", 'did you mean "any"?'),
        ("and: [{$.a: 1}]", 'did you mean "all"?'),
        ("nor: [{$.a: 1}]", 'did you mean "none"?'),
        ("methd: x", 'did you mean "method"?'),
    ],
)
def test_the_error_for_an_unknown_field_names_the_cure(
    problems: Callable[[str], list[str]], match: str, message: str
) -> None:
    [found] = problems(match)

    assert message in found


ACTIONS = [
    ("email: a@b.example", "sendmail by command"),
    ("mail: {to: a@b.example}", "sendmail by command"),
    ("slack: '#ops'", "incoming webhook"),
    ("http: https://a.example", 'did you mean "forward"?'),
    ("webhook: https://a.example", 'did you mean "forward"?'),
    ("exec: [ls]", 'did you mean "command"?'),
    ("run: ls", 'did you mean "command"?'),
    ("script: ls", 'did you mean "command"?'),
    ("shell: ls", "it belongs inside command"),
    ("file: a.log", 'did you mean "append"?'),
    ("log: a.log", 'did you mean "append"?'),
    ("kafka: topic", "there is no such action"),
    ("forwrad: https://a.example", 'did you mean "forward"?'),
    ("frobnicate: 1", "known: append"),
]


@pytest.mark.parametrize(("action", "message"), ACTIONS, ids=[action for action, _ in ACTIONS])
def test_an_unknown_action_gets_one_error_with_its_cure(
    rules_problems: Callable[[str], list[str]], action: str, message: str
) -> None:
    [found] = rules_problems(f"sources: {{a: {{verify: none}}}}\nrules: [{{name: r, actions: [{{{action}}}]}}]")

    assert message in found


@pytest.mark.parametrize("path", ["/hooks/:team", "/hooks/<team>", "/hooks/*"])
def test_a_path_that_looks_like_a_pattern_gets_a_warning(rules_problems: Callable[[str], list[str]], path: str) -> None:
    [found] = rules_problems(
        f"sources: {{a: {{verify: none, path: '{path}'}}}}\nrules: [{{name: r, actions: [{{append: x}}]}}]"
    )

    assert (
        found.startswith("warning: ")
        and "this is not a pattern" in found
        and f"only a request to exactly {path} reaches" in found
    )


@pytest.mark.parametrize("path", ["//hooks", "/hooks//a", "/hooks/./a", "/hooks/../a", "/hooks/.", "/a/.."])
def test_a_path_that_no_request_can_have_gets_a_warning(rules_problems: Callable[[str], list[str]], path: str) -> None:
    [found] = rules_problems(
        f"sources: {{a: {{verify: none, path: '{path}'}}}}\nrules: [{{name: r, actions: [{{append: x}}]}}]"
    )

    assert found.startswith("warning: ") and "no request reaches this path" in found


@pytest.mark.parametrize(
    "path", ["/hooks/a:b", "/a", "/", "/a/", "/a/.b", "/a/...", "/hooks/~x/!y", "/a/(b)/[c]", "/a:80/b"]
)
def test_other_paths_get_no_warning(rules_problems: Callable[[str], list[str]], path: str) -> None:
    assert not rules_problems(
        f"sources: {{a: {{verify: none, path: '{path}'}}}}\nrules: [{{name: r, actions: [{{append: x}}]}}]"
    )
