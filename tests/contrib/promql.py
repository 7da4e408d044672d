"""Reads as much of PromQL as contrib/ uses: which metrics an expression names, and by which labels.

Not a parser of PromQL: what it doesn't know it refuses, so that nothing slips through unread. Groupings stand before
what they group, `sum by (target) (…)`.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from router.families import Family

FUNCTIONS = {
    *("changes", "delta", "histogram_quantile", "increase", "label_values", "predict_linear", "rate", "time"),
}
AGGREGATIONS = {"max", "min", "sum", "topk"}
OPERATORS = {"and", "or", "unless"}
GROUPINGS = {"by", "without"}
OF_EVERY_TARGET = {"job", "instance"}  #: labels that Prometheus adds
OF_OTHERS = {  #: what is not in router.families, with its labels
    "up": set[str](),
    "process_cpu_seconds_total": set[str](),
    "process_max_fds": set[str](),
    "process_open_fds": set[str](),
    "process_resident_memory_bytes": set[str](),
    "process_start_time_seconds": set[str](),
}

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<range>\[[^\]]*\])
    | (?P<number>[0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?)
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<sign>=~|!~|!=|==|<=|>=|[=<>+\-*/(){},])""",
    re.VERBOSE,
)
_RANGE = re.compile(r"\[(\d+[smhd]|\$__rate_interval)\]")

Token = tuple[str, str]


@dataclass(slots=True)
class Named:
    """One metric of an expression, and what is said of its labels."""

    metric: str
    matched: dict[str, str] = field(default_factory=dict)  #: labels that pick series, with the text they are matched to
    grouped: set[str] = field(default_factory=set)  #: labels that it is grouped by, or that its groups lose


@dataclass(slots=True)
class Read:
    """What an expression says."""

    named: list[Named]
    kept: set[str] | None  #: labels of its result, when it is grouped; none: those of its metrics


class PromqlError(Exception):
    """An expression that this reader does not know."""


def tokens(text: str) -> list[Token]:
    """The tokens of an expression."""
    found: list[Token] = []
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise PromqlError(f"can't be read from {text[place : place + 20]!r} on")
        place = token.end()
        kind = token.lastgroup or ""
        if kind == "range" and not _RANGE.fullmatch(token[0]):
            raise PromqlError(f"{token[0]} is no range")
        if kind != "space":
            found.append((kind, token[0]))
    return found


def read(text: str) -> Read:
    """The metrics of an expression, and their labels."""
    left = tokens(text)[::-1]
    depth = 0
    groups: list[tuple[int, set[str]]] = []  # of the aggregations that are open: depth of their brackets, labels
    named: list[Named] = []
    kept: list[set[str]] = []
    while left:
        kind, token = left.pop()
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
            groups = [(at, labels) for at, labels in groups if at <= depth]
        elif kind == "name" and token in AGGREGATIONS:
            labels = set[str]()
            if left and left[-1][1] in GROUPINGS:
                left.pop()
                labels = set(_labels(left))
            _expect(left, "(")
            left.append(("sign", "("))
            groups.append((depth + 1, labels))
            kept.append(labels)
        elif kind == "name" and token in FUNCTIONS:
            _expect(left, "(")
            left.append(("sign", "("))
        elif kind == "name" and token not in OPERATORS:
            if left and left[-1][1] == "(":
                raise PromqlError(f"{token} is no function known here")
            matched = _matchers(left) if left and left[-1][1] == "{" else {}
            named.append(Named(token, matched, {label for _, labels in groups for label in labels}))
    if depth:
        raise PromqlError("brackets don't fit")
    return Read(named, set.union(*kept) if kept else None)


def _expect(left: list[Token], token: str) -> None:
    if not left or left[-1][1] != token:
        raise PromqlError(f"expected {token}, found {left[-1][1] if left else 'the end'}")
    left.pop()


def _labels(left: list[Token]) -> Iterable[str]:
    _expect(left, "(")
    while left and left[-1][0] == "name":
        yield left.pop()[1]
        if left and left[-1][1] == ",":
            left.pop()
    _expect(left, ")")


def _matchers(left: list[Token]) -> dict[str, str]:
    found: dict[str, str] = {}
    _expect(left, "{")
    while left and left[-1][0] == "name":
        name = left.pop()[1]
        if left[-1][1] not in ("=", "=~", "!=", "!~"):
            raise PromqlError(f"{left[-1][1]} compares no label")
        left.pop()
        kind, text = left.pop()
        if kind != "text":
            raise PromqlError(f"{text} is no text")
        found[name] = text[1:-1]
        if left and left[-1][1] == ",":
            left.pop()
    _expect(left, "}")
    return found


def sample_labels(families: Iterable[Family]) -> dict[str, set[str]]:
    """By the names of samples, as they are scraped: their labels."""
    found = {name: labels | OF_EVERY_TARGET for name, labels in OF_OTHERS.items()}
    for family in families:
        labels = {*family.labels, *OF_EVERY_TARGET}
        if family.type == "histogram":
            found |= {f"{family.name}_bucket": {*labels, "le"}, f"{family.name}_sum": labels}
            found[f"{family.name}_count"] = labels
        else:
            found[family.name] = labels
    return found


def problems(
    expression: str, samples: Mapping[str, Collection[str]], words: Mapping[tuple[str, str], Collection[str]]
) -> list[str]:
    """What an expression names that there is not; `words` are the values of closed labels, by metric and label."""
    found: list[str] = []
    for one in read(expression).named:
        if one.metric not in samples:
            found.append(f"there is no metric {one.metric}")
            continue
        found += [
            f"{one.metric} has no label {label}"
            for label in sorted({*one.matched, *one.grouped})
            if label not in samples[one.metric]
        ]
        for label, text in one.matched.items():
            closed = words.get((one.metric, label))
            if closed is not None and "$" not in text and text not in closed:
                found.append(f"{label} of {one.metric} is never {text}")
    return found
