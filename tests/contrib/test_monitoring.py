"""The dashboard and the alert rules name only metrics, labels, values and commands that exist."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from router.cli.main import cli
from router.domain.outcomes import OutcomeKind
from router.observe import metric_families as f
from router.observe.metric_families import MetricFamily
from router.plugins.scheme import VerifyFailure
from tests.cases import each
from tests.contrib.promql_names import parsed, problems, result_labels, sample_labels
from tests.metric_families import FAMILIES

CONTRIB = Path(__file__).parents[2] / "contrib"
DASHBOARD = json.loads((CONTRIB / "grafana" / "webhook-router.json").read_text())
ALERTS = yaml.safe_load((CONTRIB / "prometheus" / "alerts.yaml").read_text())
SCRAPE = yaml.safe_load((CONTRIB / "prometheus" / "scrape.yaml").read_text())

WORDS = {
    (f.DELIVERIES.name, "outcome"): {"succeeded", "dead", "skipped"},
    (f.ATTEMPTS.name, "outcome"): {*OutcomeKind},
    (f.POLLS.name, "outcome"): {"changed", "unchanged", "failed"},
    (f.RELOADS.name, "outcome"): {"succeeded", "failed"},
    (f.VERIFICATION_FAILURES.name, "reason"): {*VerifyFailure},
    (f.QUEUE_DEPTH.name, "state"): {"pending", "blocked", "held", "running"},
    (f.BREAKER.name, "state"): {"closed", "open", "half-open"},
    (f.REQUESTS.name, "status"): {"200", "202", "400", "401", "403", "404", "405", "413", "503"},
}
Named = tuple[str, str]
"""Where an expression stands, and it."""


def rules() -> list[dict[str, Any]]:
    """Every alert rule."""
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel except the titles of rows."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def variables() -> dict[str, dict[str, Any]]:
    """The dashboard's variables whose values come from metrics."""
    return {one["name"]: one for one in DASHBOARD["templating"]["list"] if one["type"] == "query"}


def expressions() -> Iterator[Named]:
    """Every PromQL expression."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for note in DASHBOARD["annotations"]["list"]:
        yield note["name"], note["expr"]
    for name, variable in variables().items():
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert asked, name
        yield name, f"sum by ({asked[2]}) ({asked[1]})"


@each(("place", "expression"), list(expressions()))
def test_every_expression_names_existing_metrics_labels_and_values(place: str, expression: str) -> None:
    assert problems(expression, sample_labels(FAMILIES), WORDS) == []


def _is_used(family: MetricFamily) -> bool:
    return any(re.search(rf"\b{family.name}(_bucket|_sum|_count)?\b", expression) for _, expression in expressions())


@each("family", FAMILIES, ids=lambda family: family.name)
def test_every_metric_is_used_and_a_renamed_one_is_noticed(family: MetricFamily) -> None:
    others = [one for one in FAMILIES if one is not family]

    assert _is_used(family)
    assert any(problems(expression, sample_labels(others), WORDS) for _, expression in expressions())


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("webhook_router_event_total", "no metric webhook_router_event_total"),
        ("rate(webhook_router_commit_jobs[5m])", "no metric webhook_router_commit_jobs"),
        ("webhook_router_commit_jobs_bucket{target='x'}", "no label target"),
        ('webhook_router_events_total{rule="x"}', "no label rule"),
        ("sum by (target) (rate(webhook_router_events_total[5m]))", "no label target"),
        ("sum(webhook_router_ready) by (rule)", "no label rule"),
        ("webhook_router_ready * on (rule) webhook_router_gone", "no label rule"),
        ("sum by (le) (webhook_router_commit_jobs_sum)", "no label le"),
        ('webhook_router_deliveries_total{outcome="died"}', "is never died"),
        ('webhook_router_deliveries_total{outcome=~"dead|died"}', "is never died"),
        ('webhook_router_deliveries_total{outcome!="died"}', "is never died"),
        ("sum by (job) (webhook_router_ready) / max by (rule) (webhook_router_ready)", "no label rule"),
        ("1 + max(2 * webhook_router_gone)", "no metric webhook_router_gone"),
        ("max_over_time(webhook_router_gone[5m:1m])", "no metric webhook_router_gone"),
        ('{job="webhook-router"}', "no metric None"),
    ],
)
def test_unknown_metrics_labels_and_values_are_found(expression: str, problem: str) -> None:
    assert problem in " ".join(problems(expression, sample_labels(FAMILIES), WORDS))


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "average(webhook_router_ready)",
        "sum(webhook_router_ready",
        "rate(webhook_router_events_total)",
        "rate(webhook_router_events_total[five])",
    ],
)
def test_an_expression_that_is_not_promql_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        problems(expression, sample_labels(FAMILIES), WORDS)


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("webhook_router_events_total", {"source", "job", "instance"}),
        ("sum(webhook_router_events_total)", set()),
        ("sum by (source) (rate(webhook_router_events_total[5m])) * 2", {"source"}),
        ("sum without (source) (webhook_router_events_total)", {"job", "instance"}),
        ("topk(3, sum by (source) (webhook_router_events_total))", {"source"}),
    ],
)
def test_the_labels_of_a_result_are_found(expression: str, labels: set[str]) -> None:
    assert _labels_of(expression) == labels


def _labels_of(expression: str) -> set[str]:
    """The labels of an expression's result."""
    return result_labels(parsed(expression), sample_labels(FAMILIES))


@each("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    texts = rule["annotations"]

    assert rule["labels"]["severity"] in ("critical", "warning")
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))
    assert "for" in rule or re.search(r"\b(increase|delta|changes)\(", rule["expr"])
    assert set(texts) == {"summary", "description"}
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(texts.values())))
    assert used <= _labels_of(rule["expr"])
    assert set(re.findall(r"\| (\w+)", " ".join(texts.values()))) <= {"humanize", "humanize1024", "humanizeDuration"}


@each("rule", rules(), ids=lambda rule: rule["alert"])
def test_no_alert_reports_a_predicted_value(rule: dict[str, Any]) -> None:
    # The value of `a and b` is that of a. A predicted value would give messages such as `has -33 GiB left`.
    told = [re.split(r"\b(?:and|unless)\b", part)[0] for part in re.split(r"\bor\b", rule["expr"])]

    assert "predict_linear" not in " ".join(told)


def _commands() -> list[str]:
    text = " ".join(" ".join(rule["annotations"]["description"].split()) for rule in rules())
    return sorted(set(re.findall(r"`(webhook-router [^`]*)`", text)))


@pytest.mark.parametrize("line", _commands())
def test_every_command_that_an_alert_names_exists(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]

    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert [word for word in words if word.startswith("--") and word not in flags] == []


def test_every_critical_metric_has_an_alert() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    watched = " ".join(rule["expr"] for rule in rules())
    for family in (
        f.READY,
        f.STORE_HEALTHY,
        f.DELIVERIES,
        f.QUEUE_AGE,
        f.BREAKER,
        f.RELOADED,
        f.DIFFERS,
        f.VERIFICATION_FAILURES,
    ):
        assert family.name in watched
    for family in (f.EVALUATION_ERRORS, f.LINES_LOST, f.FREE_BYTES, f.CONNECTIONS):
        assert family.name in watched


def test_the_dashboard_can_be_imported_into_any_grafana() -> None:
    assert (DASHBOARD["title"], DASHBOARD["schemaVersion"] >= 36) == ("webhook-router", True)
    assert "id" not in DASHBOARD  # an id in the database of one Grafana
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))
    for panel in panels():
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) > 0


def test_the_dashboard_uses_only_the_selected_data_source() -> None:
    def sources(node: Any) -> Iterator[Any]:
        if isinstance(node, dict):
            yield from [node["datasource"]] if "datasource" in node else []
            for value in node.values():
                yield from sources(value)
        elif isinstance(node, list):
            for value in node:
                yield from sources(value)

    found = list(sources(DASHBOARD))
    assert len(found) > 50
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in found)


def test_the_rows_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    titles = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert titles == [
        "Overview",
        "Intake",
        "Rules",
        "Delivery by target",
        "Store",
        "Reload and process",
        "Nodes",
        "Polls",
    ]


def test_dashboard_variables_are_defined_and_used() -> None:
    text = json.dumps([DASHBOARD["panels"], DASHBOARD["annotations"]])

    used = {name for name in re.findall(r"\$\{?(\w+)", text) if not name.startswith("__")}

    assert used == {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert {"source", "rule", "target"} <= used
    for variable in variables().values():
        assert variable["includeAll"] and variable["allValue"] == ".*"  # also of `source=""`


@each("panel", panels(), ids=lambda panel: panel["title"])
def test_every_legend_uses_labels_of_its_result(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= _labels_of(target["expr"])


def test_the_scrape_example_uses_the_default_admin_address(capsys: pytest.CaptureFixture[str]) -> None:
    [job] = SCRAPE["scrape_configs"]
    admin = next(parameter for parameter in cli.commands["serve"].params if parameter.name == "admin")

    assert job["job_name"] == "webhook-router"
    assert job.get("metrics_path", "/metrics") == "/metrics"
    assert job["static_configs"] == [{"targets": [admin.default]}]
    assert SCRAPE["rule_files"] == ["alerts.yaml"]
