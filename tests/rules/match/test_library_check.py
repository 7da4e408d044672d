"""Another syntax tree of jsonpath-ng is noticed. Then only paths of names are accepted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter
from jsonpath_ng.ext.parser import parse

from router.daemon.registries import REGISTRIES
from router.rules.compile.loader import Loader
from router.rules.match.jsonpath import compile_path, library_check
from router.rules.match.jsonpath import parse as parse_module
from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.tree import nodes


def _changed(change: Callable[[Any], object]) -> Callable[[str], Any]:
    """A parser that changes its trees."""

    def changed(text: str) -> Any:
        tree = parse(text)
        for node in nodes(tree):
            change(node)
        return tree

    return changed


def _first_only(node: Any) -> None:
    if isinstance(node, ng.Index):
        node.indices = node.indices[:1]


def _without_indices(node: Any) -> None:
    if isinstance(node, ng.Index):
        del node.indices


def _another_operator(node: Any) -> None:
    if isinstance(node, ng_filter.Expression) and node.op == "=~":
        node.op = "matches"


def test_the_installed_library_is_as_expected() -> None:
    assert library_check.is_as_expected()


@pytest.mark.parametrize("change", [_first_only, _without_indices, _another_operator])
def test_a_library_with_another_syntax_tree_is_noticed(change: Callable[[Any], None]) -> None:
    library = _changed(change)
    if change is _first_only:  # the library's `find` uses the tree too, so it must keep the unchanged one
        library = lambda text: _Mixed(_changed(change)(text), parse(text))  # noqa: E731

    assert not library_check.agrees(library)


class _Mixed(ng.Child):
    """A tree whose `find` differs from its fields."""

    def __init__(self, shown: Any, followed: Any) -> None:
        super().__init__(shown.left, shown.right)
        self.followed = followed

    def find(self, value: Any) -> Any:
        return self.followed.find(value)


def test_a_parser_that_raises_is_noticed() -> None:
    def raises(_: str) -> Any:
        raise TypeError

    assert not library_check.agrees(raises)


def test_only_paths_of_names_are_accepted_with_an_unexpected_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(parse_module, "is_as_expected", lambda: False)
    rules = "sources: {{s: {{verify: none}}}}\nrules: [{{name: r, match: {{'{}': 1}}, actions: [append: x]}}]\n"

    named = Loader(REGISTRIES, {}).load(rules.format("$.some.names"), "rules.yaml", tmp_path)
    other = Loader(REGISTRIES, {}).load(rules.format("$.some[7].item"), "rules.yaml", tmp_path)

    assert named.problems == ()
    [problem] = other.problems
    assert (problem.line, "install version 1.16" in problem.message) == (2, True)
    with pytest.raises(PathError, match="parses paths differently than expected, so only names"):
        compile_path("$.some[8].item")
