"""`webhook-router check`: is a rules file right?"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.options import loader
from router.domain.errors import Level, Problem

if TYPE_CHECKING:
    from router.rules.rule import RuleAction
    from router.rules.ruleset import Ruleset

_HELP = """Check FILES (default: rules.yaml): every problem with its line, column and cure.

\b
Examples:
  webhook-router check rules.yaml
  webhook-router check --strict --json rules/*.yaml
  webhook-router check --defaults rules.yaml           (what the schemes of its sources set)
  webhook-router check --explain-retry rules.yaml      (when each action is tried)
  webhook-router check --format github rules.yaml      (annotations in a GitHub workflow)

Secrets that are unset on this machine are notes, so that a file can be checked in CI; --require-secrets makes them
errors. Exit codes: 0 fine, 1 an error (with --strict: or a warning), 2 usage.
"""


@click.command(help=_HELP, short_help="Check rules files: each problem with its cure.")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1)
@click.option("--strict", is_flag=True, help="Warnings fail as well.")
@click.option("--require-secrets", is_flag=True, help="Unset secrets are errors.")
@click.option("--defaults", is_flag=True, help="Show each source's settings in force, those of its scheme included.")
@click.option("--explain-retry", is_flag=True, help="Show when each action is tried, and after which failures.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Problems as JSON: [{file, line, column, path, message, level}]; with --explain-retry {problems, retry}.",
)
@click.option("--format", "style", type=click.Choice(["text", "github"]), default="text", show_default=True)
def check(
    files: tuple[Path, ...],
    *,
    strict: bool,
    require_secrets: bool,
    defaults: bool,
    explain_retry: bool,
    as_json: bool,
    style: str,
) -> None:
    """Check rules files."""
    files = files or (Path("rules.yaml"),)
    from router.cli.output import annotation, print_settings  # noqa: PLC0415
    from router.cli.retry_times import schedule_json, schedule_line  # noqa: PLC0415
    from router.cli.tables import counted  # noqa: PLC0415 - `--help` need not wait
    from router.operate.serialize import problem_json  # noqa: PLC0415

    if defaults and as_json:
        raise click.UsageError("--defaults prints YAML; leave out --json")

    problems: list[Problem] = []
    schedules: list[dict[str, Any]] = []
    for file in files:
        loaded = loader(require_secrets=require_secrets).load_file(file)
        problems += loaded.problems
        if loaded.ruleset is not None and not as_json:
            rules, sources = len(loaded.ruleset.rules), len(loaded.ruleset.sources)
            doubts = sum(problem.level is Level.WARNING for problem in loaded.problems)
            verdict = f"loads, with {counted(doubts, 'warning')}" if doubts else "fine"
            click.echo(f"{file}: {verdict}, {counted(rules, 'rule')}, {counted(sources, 'source')}")
            if defaults:
                print_settings(loaded.ruleset)
        for action in _every_action(loaded.ruleset) if loaded.ruleset is not None and explain_retry else ():
            if as_json:
                schedules.append(schedule_json(str(file), action))
            else:
                click.echo(schedule_line(action))
    if as_json:
        listed = [problem_json(problem) for problem in problems]
        shown = {"problems": listed, "retry": schedules} if explain_retry else listed
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(annotation(problem) if style == "github" else str(problem), err=style == "text")
    bad = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    if any(problem.level in bad for problem in problems):
        sys.exit(1)


def _every_action(ruleset: "Ruleset") -> "list[RuleAction]":
    """In file order; those for events that no rule matched at the end."""
    return [*(action for rule in ruleset.rules for action in rule.actions), *ruleset.unmatched]
