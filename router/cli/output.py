"""What the commands print: for people as text, for programs as JSON, for a CI as its annotations."""

import json
from typing import Any

import click
import yaml

from router.cli.tables import counted
from router.domain.errors import Level, Problem
from router.domain.units import as_duration, as_size
from router.operate.serialize import problem_json
from router.rules.dry_run.cases import Run
from router.rules.dry_run.explain import Explained, ExplainedRule
from router.rules.ruleset import Ruleset


def annotation(problem: Problem) -> str:
    """A workflow command of GitHub Actions: docs.github.com, "Workflow commands"."""
    level = "notice" if problem.level is Level.NOTE else problem.level.value
    text = f"{problem.path}: {problem.message}" if problem.path else problem.message
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} file={problem.file},line={problem.line},col={problem.column}::{text}"


def print_settings(ruleset: Ruleset) -> None:
    """Every source's settings in force, as YAML that could stand in the rules file."""
    sources = {source.name: _as_written(dict(sorted(source.settings.items()))) for source in ruleset.sources.values()}
    click.echo(yaml.safe_dump({"sources": sources}, sort_keys=False, allow_unicode=True, width=100), nl=False)


def _as_written(settings: Any) -> Any:
    """Settings with their units, and without what says nothing: an empty list, a secret that need not be optional."""
    if isinstance(settings, (list, tuple)):
        return [_as_written(item) for item in settings]
    if not isinstance(settings, dict):
        return settings
    units = {"max_body": as_size, "tolerance": as_duration}
    return {
        key: units[key](value) if key in units else _as_written(value)
        for key, value in settings.items()
        if value != [] and not (key == "optional" and value is False)
    }


def print_preview(result: dict[str, Any]) -> None:
    """What matches and what each action would do, from the preview's JSON."""
    matched = result["matched"]
    click.echo("matched: " + (", ".join(matched) if matched else "no rule"))
    for error in result.get("errors", ()):
        click.echo(f"rule {error['rule']} could not be judged, so it counts as unmatched: {error['error']}")
    for delivery in result["deliveries"]:
        ordered = f", in order of {delivery['order_key']}" if delivery["order_key"] is not None else ""
        click.echo(f"\n{delivery['rule']} / {delivery['action']}: {delivery['type']} to {delivery['target']}{ordered}")
        if delivery["error"] is not None:
            click.echo(f"  would be dead at once: {delivery['error']}")
            continue
        for key, value in delivery[delivery["type"]].items():
            click.echo(f"  {key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


def print_explained(rule: ExplainedRule) -> None:
    """A rule's verdict, and its conditions' below it."""
    marks = {"matched": "+", "unmatched": "-", "error": "!", "not tried": " "}
    click.echo(
        f"\n{marks[rule.verdict]} {rule.rule}: {rule.verdict}" + (f", since {rule.reason}" if rule.reason else "")
    )
    for condition in rule.conditions:
        _print_condition(condition, "    ")


def _print_condition(condition: Explained, indent: str) -> None:
    mark = {True: "+", False: "-", None: "!"}[condition.holds]
    click.echo(f"{indent}{mark} {condition.reason if condition.operator else condition.what}")
    for part in condition.parts:
        _print_condition(part, indent + "    ")


def print_cases(run: Run, *, as_json: bool) -> None:
    """Each case with what differs."""
    if as_json:
        shown = [{"file": r.file, "line": r.line, "name": r.name, "differences": r.differences} for r in run.results]
        problems = [problem_json(problem) for problem in run.problems]
        click.echo(json.dumps({"cases": shown, "problems": problems}, indent=2, ensure_ascii=False))
    else:
        for result in run.results:
            click.echo(f"{'-' if result.differences else '+'} {result.name}")
            for difference in result.differences:
                place = f"{result.file}:{result.line}: "
                click.echo("    " + (place + difference).replace("\n", "\n    "))
        for problem in run.problems:
            click.echo(str(problem), err=True)
        good = sum(not result.differences for result in run.results)
        click.echo(f"{good} of {counted(len(run.results), 'case')} as expected")
