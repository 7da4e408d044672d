"""Compiles a condition outside a rule, such as that of a search, in the language of `match`."""

from collections.abc import Sequence

from router.domain.errors import Level, Problem
from router.rules.compile.match import parse_match
from router.rules.compile.scope import Scope
from router.rules.match.conditions import All, Condition
from router.rules.yaml.document import MAX_BYTES, read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport
from router.rules.yaml.yaml_problem import DocumentError

LONGEST = 64 * 1024  #: characters of one condition


class WhereError(ValueError):
    """The condition has these problems; `str` gives them in lines."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(f"{name}:{p.line}:{p.column}: {p.message}" for p in problems))


def compile_where(texts: Sequence[str], name: str, params: frozenset[str] = frozenset()) -> Condition | None:
    """Compile mappings such as `$.repository.full_name: acme/api` to one condition; None if there are none.

    `name` is their place in messages. `params` are the names of path parts that they may read. Times of day are in UTC.
    Raises WhereError.
    """
    conditions = [_one(text, name, params) for text in texts]
    return All(tuple(conditions)) if conditions else None


def _one(text: str, name: str, params: frozenset[str]) -> Condition:
    report = ProblemReport(name)
    if len(text) > min(LONGEST, MAX_BYTES):
        raise WhereError(name, [Problem(name, 1, 1, "", f"the condition is longer than {LONGEST:,} characters")])
    try:
        root, _ = read(text, "the condition is empty; write a field and what it must be: '$.field: value'")
    except DocumentError as error:
        raise WhereError(name, [Problem(name, p.line, p.column, "", p.message) for p in error.problems]) from None
    condition = parse_match(NodePath(report, root, ""), Scope(params=params))
    errors = [problem for problem in report.sorted() if problem.level is Level.ERROR]
    if errors:
        raise WhereError(name, errors)
    return condition
