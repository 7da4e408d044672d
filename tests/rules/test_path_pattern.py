"""Paths with named parts: the source of a request's path, and the values of its parts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.rules.compile.loader import Loaded, Loader
from router.rules.path_pattern import path_pattern
from router.rules.source import placed

Load = Callable[[str], Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads rules with secrets."""
    return lambda text: Loader(REGISTRIES, {"KEY": "hush-hush-hush"}).load(text, "rules.yaml", tmp_path)


def _sources(load: Load, *paths: str) -> Callable[[str], str | None]:
    """Return a function that gives the pattern of the source that serves a path."""
    listed = "".join(f'\n  s{i}: {{verify: none, path: "{path}"}}' for i, path in enumerate(paths))
    loaded = load(f"sources:{listed}\nrules: [{{name: r, source: '*', actions: [append: x]}}]\n")
    ruleset = loaded.require()

    def at(path: str) -> str | None:
        found = ruleset.source_at(path)
        return found.path if found is not None else None

    return at


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/hooks/pay/deploy", "/hooks/{team}/deploy"),
        ("/hooks/größe/deploy", "/hooks/{team}/deploy"),
        ("/hooks/acme/deploy", "/hooks/acme/{what}"),
        ("/hooks/acme/test", "/hooks/acme/test"),
        ("/hooks/acme/other", "/hooks/acme/{what}"),
        ("/hooks/pay/other", "/hooks/{a}/{b}"),
        ("/hooks/pay/deploy/", None),
        ("/hooks//deploy", None),
        ("/hooks/pay", None),
        ("/hooks/a/b/c", None),
        ("/", None),
        ("", None),
        ("*", None),
        ("/-/healthy", None),
        ("/x/y", "/{any}/y"),
    ],
)
def test_a_literal_segment_wins_from_left_to_right(load: Load, path: str, expected: str | None) -> None:
    at = _sources(
        load,
        "/hooks/{a}/{b}",
        "/hooks/{team}/deploy",
        "/hooks/acme/{what}",
        "/hooks/acme/test",
        "/{any}/y",
        "/{any}/healthy",
    )

    assert at(path) == expected


def test_a_pattern_that_matches_only_the_beginning_is_skipped(load: Load) -> None:
    at = _sources(load, "/a/b/{x}", "/a/{y}/c/d", "/{z}/b/c/e")

    assert [at("/a/b/c/d"), at("/a/b/c/e"), at("/a/b/c")] == ["/a/{y}/c/d", "/{z}/b/c/e", "/a/b/{x}"]


def test_the_parts_of_a_path_have_the_names_in_the_pattern() -> None:
    pattern = path_pattern("/hooks/{team}/x/{stage}")

    assert pattern is not None
    assert pattern.params("/hooks/pay/x/live") == {"team": "pay", "stage": "live"}
    assert pattern.params("/hooks/pay/y/live") == pattern.params("/hooks/pay/x/") == pattern.params("/hooks") == {}
    assert path_pattern("/hooks/plain") is None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "so give team a value"),
        ({"team": "a", "x": "y"}, 'has no part "x"; it has team'),
        ({"team": ""}, "one segment of the path, not empty"),
        ({"team": "a/b"}, "one segment"),
        ({"team": ".."}, "one segment"),
    ],
)
def test_a_pattern_and_values_for_its_parts_give_a_path(load: Load, params: dict[str, str], message: str) -> None:
    text = 'sources: {s: {verify: none, path: "/hooks/{team}"}}\nrules: [{name: r, actions: [append: x]}]\n'
    source = load(text).require().sources["s"]

    assert placed(source, {"team": "pay"}).path == "/hooks/pay"
    with pytest.raises(ValueError, match=message):
        placed(source, params)


def test_a_command_that_depends_only_on_path_parts_gets_a_warning(load: Load) -> None:
    rules = """
sources: {s: {verify: {scheme: github, secret: {env: KEY}}, path: "/in/{team}"}}
rules:
  - name: r
    match: {params.team: pay}
    actions: [command: {argv: [/bin/true], stdin: none}]
"""
    loaded = load(rules)

    assert [problem.level for problem in loaded.problems] == [Level.WARNING]
    assert "the rule tests only params.team, which scheme github does not sign" in str(loaded.problems[0])
    assert load(rules.replace("params.team: pay", "params.team: pay, $.a: 1")).problems == ()


@pytest.mark.parametrize("name", ["event.path", "params.team"])
def test_a_part_of_the_path_counts_as_text_of_the_sender(load: Load, name: str) -> None:
    rules = f"""
sources: {{s: {{verify: {{scheme: bearer, secret: {{env: KEY}}}}, path: "/in/{{team}}"}}}}
rules:
  - name: r
    actions: [command: {{argv: [/usr/bin/git, clone, "{{{{ {name} }}}}"], stdin: none}}]
"""
    assert "payload text in its arguments may be code" in str(load(rules).problems)


def test_recorded_rules_with_braces_in_a_path_still_load(tmp_path: Path) -> None:
    from router.domain.deliveries import RulesetText

    text = 'sources: {s: {verify: none, path: "/in/v{1}"}}\nrules: [{name: r, match: {$.a: {contains: [[1]]}}, actions: [append: x]}]\n'

    loaded = Loader(REGISTRIES, {}).load_recorded(RulesetText("h", text, str(tmp_path)))

    assert loaded.ruleset is not None
