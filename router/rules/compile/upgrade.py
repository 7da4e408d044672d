"""Finds places of a rules file whose meaning has changed since the version that it was written for."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from router.domain.errors import Level, Problem
from router.domain.files.bounded import Unreadable, read_file
from router.plugins.action import ActionType
from router.rules.yaml.document import MAX_BYTES, read_with_problems
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from router.rules.yaml.problems import ProblemReport
from router.rules.yaml.yaml_problem import DocumentError

_VALUES = ("equals", "in")  #: their operands are values, not operators


def changes_of(path: Path, types: Mapping[str, ActionType]) -> list[Problem]:
    """The result of `changed_meanings` for a file; empty if it can't be read, which the loader reports."""
    try:
        return changed_meanings(read_file(path, MAX_BYTES, pipes=False).decode("utf-8-sig"), str(path), types)
    except (Unreadable, UnicodeDecodeError):
        return []


def changed_meanings(text: str, file: str, types: Mapping[str, ActionType]) -> list[Problem]:
    """A note, with the cure, for each place whose meaning changed after version 0.1.0; empty if it is not YAML."""
    report = ProblemReport(file)
    try:
        root = NodePath(report, read_with_problems(text)[0], "")
    except DocumentError:
        return []
    for _, source in root.at("sources").entries() if root.has("sources") else ():
        _check_path(source)
        _check_key(source.at("dedupe") if source.has("dedupe") else None)
    for rule in root.at("rules").items() if root.has("rules") else ():
        if rule.has("match"):
            _check_contains(rule.at("match"))
            _check_text(rule.at("match"))
        for action in rule.at("actions").items() if rule.has("actions") else ():
            _check_action(action, types)
    for action in root.at("unmatched").items() if root.has("unmatched") else ():
        _check_action(action, types)
    return report.sorted()


def _note(node_path: NodePath, before: str, now: str, cure: str) -> None:
    message = f"changed since 0.1.0: {before}; now {now}. To keep the earlier meaning: {cure}"
    node_path.report.add(node_path.node, node_path.path, message, Level.NOTE)


def _check_path(source: NodePath) -> None:
    path = source.at("path").data if source.has("path") else None
    if isinstance(path, str) and "{" in path:
        now = "{name} is a part of the path that any segment fits"
        _note(source.at("path"), "braces in a path were literal", now, "write a path without braces")


def _check_contains(node_path: NodePath) -> None:
    """Finds each `contains` of a condition."""
    for key, below in node_path.entries():
        if key == "contains" and isinstance(below.node, SequenceNode):
            cure = f'{{"$.field[*]": {{equals: {below.data}}}}}'
            _note(
                below,
                "contains asked for an item that equals this list",
                "it asks for an item that equals one of its entries",
                cure,
            )
        elif key not in _VALUES:
            _check_contains(below)
    for item in node_path.items():
        _check_contains(item)


def _check_text(match: NodePath) -> None:
    """Finds conditions on a body that was text before."""
    if match.has("$"):
        cure = "parse: text in the source"
        _note(match.at("$"), "a body of XML or multipart/form-data was text", "it is a mapping", cure)


def _check_action(action: NodePath, types: Mapping[str, ActionType]) -> None:
    _check_key(action.at("order_by") if action.has("order_by") else None)
    for name, type_ in types.items():
        if not action.has(name):
            continue
        options = action.at(name)
        for changed in type_.changed_defaults:
            if not isinstance(options.node, MappingNode) or not options.has(changed.option):
                _note(options, changed.before, changed.now, changed.cure)


def _check_key(node_path: NodePath | None) -> None:
    """Finds a `dedupe` or `order_by` whose path used to give a place twice and now gives it once."""
    if node_path is None:
        return
    for text in _texts(node_path):
        if text.startswith("$") and (text.count("..") > 1 or "`parent`" in text):
            before = "this path could give a place several times"
            _note(node_path, before, "once, so new events have other keys", "none; the keys of old events run out")


def _texts(node_path: NodePath) -> Iterator[str]:
    if isinstance(node_path.node, ScalarNode) and isinstance(node_path.node.value, str):
        yield node_path.node.value
    if node_path.has("key"):
        yield from _texts(node_path.at("key"))
