"""`webhook-router check`: finds every problem in rules files."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.options import loader
from router.domain.errors import Level, Problem

if TYPE_CHECKING:
    from router.rules.compile.loader import Loaded
    from router.rules.rule import RuleAction
    from router.rules.ruleset import Ruleset

_HELP = """Check rules files (default: rules.yaml): print every problem with its line, column and cure.

\b
Examples:
  webhook-router check rules.yaml
  webhook-router check --strict --json rules/*.yaml
  webhook-router check teams/pay.yaml                  (one file that rules.yaml above it includes)
  webhook-router check /etc/webhook-router             (a folder of rules)
  webhook-router check --defaults rules.yaml           (each source's settings, defaults included)
  webhook-router check --explain-retry rules.yaml      (when each action is tried again)
  webhook-router check --upgrade rules.yaml            (what changed its meaning since earlier versions)
  webhook-router check --format github rules.yaml      (annotations in a GitHub workflow)

A secret that is unset on this machine is just a note, so that CI can check a file without secrets; --require-secrets
makes it an error. Exit codes: 0 no error, 1 an error (with --strict also a warning), 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Check rules files: each problem with its cure.")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--rules",
    "rules_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A rules file: the same as an argument FILE.",
)
@click.option(
    "--included-by",
    type=click.Path(path_type=Path),
    metavar="RULES",
    help="Check FILES as parts of this rules file. Default: the rules.yaml beside or above them that includes them.",
)
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@click.option("--require-secrets", is_flag=True, help="Treat unset secrets as errors.")
@click.option("--defaults", is_flag=True, help="Print each source's settings, including the defaults of its scheme.")
@click.option("--explain-retry", is_flag=True, help="Print when each action is tried again, and after which failures.")
@click.option("--upgrade", is_flag=True, help="Also list what has another meaning than in earlier versions.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON: [{file, line, column, path, message, level}]; with --explain-retry {problems, retry}.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "github"]),
    default="text",
    show_default=True,
    help="github: as annotations of a GitHub workflow.",
)
def check(
    files: tuple[Path, ...],
    rules_file: Path | None,
    *,
    included_by: Path | None,
    strict: bool,
    require_secrets: bool,
    defaults: bool,
    explain_retry: bool,
    upgrade: bool,
    as_json: bool,
    style: str,
) -> None:
    """Check rules files."""
    files = (*((rules_file,) if rules_file is not None else ()), *files) or (Path("rules.yaml"),)
    from router.cli.check_included import check_included, main_of  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.problems import annotation  # noqa: PLC0415
    from router.cli.printing.settings import print_settings  # noqa: PLC0415
    from router.cli.printing.text import counted  # noqa: PLC0415 - `--help` need not wait
    from router.cli.retry_times import schedule_json, schedule_line  # noqa: PLC0415
    from router.operate.serialize import problem_json  # noqa: PLC0415
    from router.rules.compile.upgrade import changes_of  # noqa: PLC0415

    if defaults and as_json:
        raise click.UsageError("--defaults prints YAML; leave out --json")

    problems: list[Problem] = []
    schedules: list[dict[str, Any]] = []
    problems += _broken_plugins()
    for file in files:
        main = included_by or main_of(file)
        found = loader(require_secrets=require_secrets)
        loaded = found.load_file(file) if main is None else check_included(found, file, main)
        problems += loaded.problems
        for part in [file, *_included(file, loaded, main)] if upgrade else ():
            problems += changes_of(part, found.registries.actions)
        if main is not None and not as_json:
            errors = sum(problem.level is Level.ERROR for problem in loaded.problems)
            if not errors:
                click.echo(f"{file}: {_verdict(loaded.problems)}, included by {main}")
            continue
        if loaded.ruleset is not None and not as_json:
            rules, sources = len(loaded.ruleset.rules), len(loaded.ruleset.sources)
            included = len(loaded.ruleset.text.included)
            more = f", {counted(included, 'included file')}" if included else ""
            counts = f"{counted(rules, 'rule')}, {counted(sources, 'source')}{more}"
            click.echo(f"{file}: {_verdict(loaded.problems)}, {counts}")
            if defaults:
                print_settings(loaded.ruleset)
        for action in _every_action(loaded.ruleset) if loaded.ruleset is not None and explain_retry else ():
            if as_json:
                schedules.append(schedule_json(str(file), action))
            else:
                click.echo(schedule_line(action))
    if as_json:
        listed = [problem_json(problem) for problem in problems]
        content = {"problems": listed, "retry": schedules} if explain_retry else listed
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(annotation(problem) if style == "github" else str(problem), err=style == "text")
    bad = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    if any(problem.level in bad for problem in problems):
        sys.exit(1)


def _broken_plugins() -> list[Problem]:
    """A note for each plugin that can't be used. Rules that don't use the plugin still work."""
    from router.daemon.registries import REGISTRIES  # noqa: PLC0415 - `--help` need not wait

    broken = [one for one in REGISTRIES.plugins if one.error]
    return [Problem(f"package {one.package}", 1, 1, "", one.sentence(), Level.NOTE) for one in broken]


def _included(file: Path, loaded: "Loaded", main: Path | None) -> list[Path]:
    """The files that a checked rules file includes. None if it is itself checked as an included file."""
    if main is not None or loaded.ruleset is None:
        return []
    folder = file if file.is_dir() else file.parent
    return [folder / one.name for one in loaded.ruleset.text.included]


def _verdict(problems: Iterable[Problem]) -> str:
    from router.cli.printing.text import counted  # noqa: PLC0415 - `--help` need not wait

    warnings = sum(problem.level is Level.WARNING for problem in problems)
    return f"loads, with {counted(warnings, 'warning')}" if warnings else "fine"


def _every_action(ruleset: "Ruleset") -> "list[RuleAction]":
    """All actions in file order; those of `unmatched` last."""
    return [*(action for rule in ruleset.rules for action in rule.actions), *ruleset.unmatched]
