"""Explains PyYAML's syntax errors to the person who wrote the file, with the cure."""

import re

import yaml

from router.rules.yaml.yaml_problem import YamlProblem, line_and_column

_CURES = (
    (re.compile(r"unknown escape character"), "use single quotes, in which a backslash is just a backslash"),
    (
        re.compile(r"mapping values are not allowed"),
        "align it with its neighbours, or quote a value that contains a colon and a space",
    ),
    (re.compile(r"alphabetic or numeric character|while scanning an alias"), "quote a value that starts with * or &"),
    (re.compile(r"cannot start any token"), "quote a value that starts with @, ` or %"),
)
"""Patterns of PyYAML's messages and what cures them."""


def syntax_problem(error: yaml.MarkedYAMLError, text: str, max_depth: int) -> YamlProblem:
    """The problem to report for a syntax error of the parser."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    source_line = lines[line - 1] if line <= len(lines) else ""
    problem = error.problem or error.context or "this can't be read"
    if "maximum nesting depth" in problem:  # libyaml has a limit of its own, and reads a few tokens ahead
        return YamlProblem(line, column, f"nested deeper than {max_depth} levels")
    cure = _cure(f"{error.context or ''} {problem}", source_line, column)
    if not cure and error.context and error.context_mark:
        cure = f"{error.context}, which began on line {error.context_mark.line + 1}"
    return YamlProblem(line, column, f"not YAML: {problem}" + (f"; {cure}" if cure else ""))


def character_problem(error: yaml.reader.ReaderError, text: str) -> YamlProblem:
    """The problem of a character that YAML forbids."""
    position = error.position if isinstance(error.position, int) else 0
    line, column = line_and_column(text, position)
    code = error.character if isinstance(error.character, int) else ord(str(error.character)[:1] or "\0")
    message = f"the character U+{code:04X} is not allowed in YAML; remove it, or escape it in quotes"
    return YamlProblem(line, column, message)


def _cure(problem: str, line: str, column: int) -> str:
    """How to mend a syntax error that the parser found at this column of this line; empty if unknown."""
    before, at = line[: column - 1], line[column - 1 : column]
    if at == "\t" or (not before.strip() and "\t" in before):
        return "indent with spaces, never with tabs"
    if re.search(r"[{,]\s*\$[\w.@*-]*\[", line):
        return """quote a path with brackets inside { }: {"$.a[*]": x}"""
    if "{{" in line and ("flow" in problem or "block mapping" in problem):
        return 'quote a value with {{ }}: "{{ … }}"'
    if line[column - 1 : column + 1] == "{%" or line[column - 2 : column] == "{%":
        return 'quote a value with {% %}: "{% … %}"'
    if "flow" in problem and at == ":":
        return "quote a value that contains a colon and a space"
    if "flow" in problem and line[column - 2 : column - 1] == "'":
        return """a quote inside single quotes is written twice, or put in double quotes: "it's\""""
    return next((cure for pattern, cure in _CURES if pattern.search(problem)), "")
