"""Finds the metrics and labels that a PromQL expression selects. promql_parser parses the expression."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatchOp,
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
    parse,
    walk,
)

from router.observe.metric_families import MetricFamily

Samples = Mapping[str, Collection[str]]
"""The labels of each sample, by its name."""

OF_EVERY_TARGET = {"job", "instance"}  #: labels that Prometheus adds
OF_OTHERS = (  #: samples that router.observe.metric_families lacks; they have no labels of their own
    "up",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
)
_REGEX = (MatchOp.Re, MatchOp.NotRe)


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric in an expression."""

    metric: str | None  #: None if the expression selects by labels only
    matched: Mapping[str, Collection[str]] = field(default_factory=dict)  #: by label: the values that its matchers name
    grouped: frozenset[str] = frozenset()  #: the labels of the aggregations and joins around it


def parsed(expression: str) -> Expr:
    """Parse an expression, also with Grafana's interval. Raises ValueError if it is not PromQL."""
    return parse(expression.replace("$__rate_interval", "5m"))


def selectors(expression: str) -> list[Selector]:
    """The metrics of an expression in order. Raises ValueError if it is not PromQL."""
    found: list[Selector] = []
    around: list[Collection[str]] = []

    def enter(node: Expr) -> None:
        around.append(_grouped_by(node))
        if isinstance(node, VectorSelector):
            matched = {
                matcher.name: matcher.value.split("|") if matcher.op in _REGEX else [matcher.value]
                for matcher in node.matchers.matchers
            }
            found.append(Selector(node.name, matched, frozenset().union(*around)))

    def leave(_: Expr) -> None:
        around.pop()

    walk(parsed(expression), enter, leave)
    return found


def _grouped_by(node: Expr) -> Collection[str]:
    """The labels of `by`, `without`, `on` and `ignoring`."""
    match node:
        case AggregateExpr(modifier=modifier) if modifier:
            return modifier.labels
        case BinaryExpr(modifier=modifier) if modifier and modifier.matching:
            return modifier.matching.labels
    return ()


def result_labels(node: Expr, samples: Samples) -> set[str]:
    """The labels that the result of an expression may have."""
    match node:
        case VectorSelector():
            return set(samples[str(node.name)])
        case MatrixSelector():
            return result_labels(node.vector_selector, samples)
        case AggregateExpr():
            return _left_by_aggregation(node, result_labels(node.expr, samples))
        case BinaryExpr():
            return result_labels(node.lhs, samples) | result_labels(node.rhs, samples)
        case Call():
            return set[str]().union(*(result_labels(argument, samples) for argument in node.args))
        case ParenExpr() | UnaryExpr() | SubqueryExpr():
            return result_labels(node.expr, samples)
    return set()  # a number or a string


def _left_by_aggregation(node: AggregateExpr, labels: set[str]) -> set[str]:
    if str(node.op) in ("topk", "bottomk"):
        return labels
    if node.modifier is None:
        return set()
    named = set(node.modifier.labels)
    return labels & named if node.modifier.type == AggModifierType.By else labels - named


def sample_labels(families: Iterable[MetricFamily]) -> dict[str, set[str]]:
    """The labels of each sample that Prometheus scrapes, by its name."""
    found = {name: set(OF_EVERY_TARGET) for name in OF_OTHERS}
    for family in families:
        labels = {*family.labels, *OF_EVERY_TARGET}
        if family.type == "histogram":
            found |= {f"{family.name}_bucket": {*labels, "le"}, f"{family.name}_sum": labels}
            found[f"{family.name}_count"] = labels
        else:
            found[family.name] = labels
    return found


def problems(expression: str, samples: Samples, words: Mapping[tuple[str, str], Collection[str]]) -> list[str]:
    """The metrics, labels and values in an expression that don't exist.

    `words` has all values of labels with few values, by metric and label. Raises ValueError if it is not PromQL.
    """
    found: list[str] = []
    for one in selectors(expression):
        metric = str(one.metric)
        if metric not in samples:
            found.append(f"there is no metric {metric}")
            continue
        found += [
            f"{metric} has no label {label}"
            for label in sorted({*one.matched, *one.grouped})
            if label not in samples[metric]
        ]
        for label, values in one.matched.items():
            known = words.get((metric, label), values)
            found += [
                f"{label} of {metric} is never {value}" for value in values if "$" not in value and value not in known
            ]
    return found
