"""Reads a hooks file, JSON or YAML, as adnanh/webhook reads it.

It reads both by YAML 1.1, where `yes` is true, takes keys in any case, converts a number or a boolean to text where a
text is expected, and ignores keys that it does not know.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

from router.cli.importers.adnanh.go_template import filled, source_of, with_marks
from router.cli.importers.adnanh.hooks import And, Hook, Match, Not, Or, Parameter, Place, TriggerRule
from router.domain.errors import Problem

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser takes tabs in JSON, as Go's does
_MOST_BYTES = 16 * 1024 * 1024
_MOST_DEPTH = 100
_TAG = "tag:yaml.org,2002:"
_HOOK_TEXTS = {
    "id": "id",
    "execute-command": "command",
    "command-working-directory": "folder",
    "response-message": "message",
    "incoming-payload-content-type": "content_type",
    "command-timeout": "timeout",
}
_HOOK_NUMBERS = {
    "success-http-response-code": "status",
    "trigger-rule-mismatch-http-response-code": "mismatch_status",
    "max-concurrency": "most_at_once",
}
_HOOK_FLAGS = {
    "include-command-output-in-response": "output",
    "include-command-output-in-response-on-error": "output_on_error",
    "trigger-signature-soft-failures": "soft_signatures",
}
_HOOK_PARAMETERS = {
    "pass-arguments-to-command": "arguments",
    "pass-environment-to-command": "variables",
    "pass-file-to-command": "files",
    "parse-parameters-as-json": "json_parameters",
}

Item = TypeVar("Item")


@dataclass(slots=True)
class _Reader:
    file: str
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def problem(self, node: yaml.Node, message: str) -> None:
        place = self.place(node)
        self.problems.append(Problem(self.file, place.line, place.column, "", message))

    def entries(self, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
        """The values of a mapping by key in lower case; the last of equal keys counts, as in Go."""
        if _is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, f"expected {what}, a mapping")
            return {}
        return {self.raw_text(key).lower(): value for key, value in node.value}

    def items(self, node: yaml.Node | None, what: str, one: Callable[[yaml.Node], Item]) -> tuple[Item, ...]:
        if node is None or _is_null(node):
            return ()
        if not isinstance(node, yaml.SequenceNode):
            self.problem(node, f"expected a list of {what}")
            return ()
        return tuple(one(part) for part in node.value)

    def raw_text(self, node: yaml.Node | None) -> str:
        """A scalar as text, with its marks."""
        if node is None or _is_null(node):
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.problem(node, "expected a text")
            return ""
        if node.tag == f"{_TAG}bool":
            return "true" if node.value.lower() in ("yes", "true", "on", "y") else "false"
        if node.tag in (f"{_TAG}int", f"{_TAG}float"):
            return _number_text(node)
        return str(node.value)

    def text(self, node: yaml.Node | None) -> str:
        """A scalar as text, where marks are filled in."""
        found, missing = filled(self.raw_text(node), self.environ)
        for name in missing:
            assert node is not None
            self.problem(
                node, f"{name} is not set here, so this constant is unknown; set the variable, then import again"
            )
        return found

    def number(self, node: yaml.Node | None) -> int:
        text = self.text(node)
        if node is not None and text and not text.lstrip("-").isdigit():
            self.problem(node, "expected a number")
            return 0
        return int(text) if text else 0

    def flag(self, node: yaml.Node | None) -> bool:
        if node is None or _is_null(node):
            return False
        if node.tag != f"{_TAG}bool":
            self.problem(node, "expected true or false")
        return self.raw_text(node) == "true"

    def hook(self, node: yaml.Node) -> Hook:
        entries = self.entries(node, "a hook")
        values: dict[str, Any] = {}
        other = []
        for key, value in entries.items():
            if key in _HOOK_TEXTS:
                values[_HOOK_TEXTS[key]] = self.text(value)
            elif key in _HOOK_NUMBERS:
                values[_HOOK_NUMBERS[key]] = self.number(value)
            elif key in _HOOK_FLAGS:
                values[_HOOK_FLAGS[key]] = self.flag(value)
            elif key in _HOOK_PARAMETERS:
                values[_HOOK_PARAMETERS[key]] = self.items(value, "parameters", self.parameter)
            elif key == "response-headers":
                values["headers"] = self.items(value, "headers", self.header)
            elif key == "http-methods":
                values["methods"] = self.items(value, "methods", self.text)
            elif key == "trigger-rule":
                values["rule"] = None if _is_null(value) else self.rule(value, 0)
            else:
                other.append((key, self.place(value)))
        if not values.get("id"):
            self.problem(node, "a hook needs an id")
        if not values.get("command"):
            self.problem(node, "a hook needs an execute-command")
        return Hook(**{"id": "", "command": "", **values}, place=self.place(node), other=tuple(other))

    def header(self, node: yaml.Node) -> tuple[str, str]:
        entries = self.entries(node, "a header")
        return self.text(entries.get("name")), self.text(entries.get("value"))

    def parameter(self, node: yaml.Node) -> Parameter:
        entries = self.entries(node, "a parameter")
        return Parameter(
            source=self.text(entries.get("source")),
            name=self.text(entries.get("name")),
            place=self.place(node),
            variable=self.text(entries.get("envname")),
            base64=self.flag(entries.get("base64decode")),
            signed_headers=self.items(entries.get("headers-to-add-to-signature-payload"), "headers", self.text),
        )

    def rule(self, node: yaml.Node, depth: int) -> TriggerRule:
        """A trigger rule. Of several keys in one mapping, adnanh/webhook takes the first of these."""
        entries = {k: v for k, v in self.entries(node, "a trigger rule").items() if not _is_null(v)}
        if depth > _MOST_DEPTH:
            self.problem(node, f"trigger rules are nested deeper than {_MOST_DEPTH} levels")
            return Or((), self.place(node))
        if "and" in entries:
            return And(self.items(entries["and"], "rules", lambda part: self.rule(part, depth + 1)), self.place(node))
        if "or" in entries:
            return Or(self.items(entries["or"], "rules", lambda part: self.rule(part, depth + 1)), self.place(node))
        if "not" in entries:
            return Not(self.rule(entries["not"], depth + 1), self.place(node))
        return self.match(entries["match"]) if "match" in entries else Or((), self.place(node))

    def match(self, node: yaml.Node) -> Match:
        entries = self.entries(node, "a match rule")
        parameter = entries.get("parameter")
        secret = self.raw_text(entries.get("secret"))
        value = self.raw_text(entries.get("value"))
        return Match(
            kind=self.text(entries.get("type")),
            place=self.place(node),
            # Keep the mark: the value may be a token, and then it is a secret.
            value=value if source_of(value.removeprefix("Bearer ")) else self.text(entries.get("value")),
            regex=self.text(entries.get("regex")),
            secret=secret if source_of(secret) else self.text(entries.get("secret")),
            ip_range=self.text(entries.get("ip-range")),
            parameter=None if parameter is None else self.parameter(parameter),
        )


def read_hooks(
    text: str, file: str, environ: Mapping[str, str], *, is_template: bool
) -> tuple[tuple[Hook, ...], list[Problem]]:
    """The hooks of a file, and its problems; with problems the hooks may be incomplete."""
    reader = _Reader(file, environ)
    if len(text) > _MOST_BYTES:
        return (), [Problem(file, 1, 1, "", "the file is larger than 16 MiB")]
    if is_template:
        text, reader.problems = with_marks(text, file)
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        cure = "" if is_template or "{{" not in text else "; for a file that is a Go template, say --template"
        reader.problems.append(Problem(file, line, column, "", f"{error.problem or 'not readable'}{cure}"))
        return (), reader.problems
    except (yaml.YAMLError, RecursionError) as error:
        reader.problems.append(Problem(file, 1, 1, "", f"not readable as JSON or YAML: {str(error).splitlines()[0]}"))
        return (), reader.problems
    hooks = reader.items(root, "hooks", reader.hook)
    if not hooks and not reader.problems:
        reader.problems.append(Problem(file, 1, 1, "", "no hooks are in this file"))
    return hooks, reader.problems


def duplicates(hooks: Iterable[Hook]) -> list[Problem]:
    """A problem for each hook with the id of an earlier hook."""
    seen: dict[str, Place] = {}
    problems = []
    for hook in hooks:
        if hook.id and hook.id in seen:
            message = f'a hook with the id "{hook.id}" already stands in line {seen[hook.id].line}'
            problems.append(Problem(hook.place.file, hook.place.line, hook.place.column, "", message))
        seen.setdefault(hook.id, hook.place)
    return problems


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == f"{_TAG}null")


def _number_text(node: yaml.ScalarNode) -> str:
    """A number as Go writes it: integers in decimal, floats as short as possible."""
    loader = yaml.SafeLoader("")
    is_whole = node.tag == f"{_TAG}int"
    value = loader.construct_yaml_int(node) if is_whole else loader.construct_yaml_float(node)
    return str(int(value)) if value == int(value) and abs(value) < 1e21 else repr(value)
