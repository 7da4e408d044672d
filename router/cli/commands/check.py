"""`webhook-router check`: finds every problem in rules files."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
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
    from router.cli.check_included import main_of  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.problems import annotation  # noqa: PLC0415
    from router.operate.serialize import problem_json  # noqa: PLC0415

    if defaults and as_json:
        raise click.UsageError("--defaults prints YAML; leave out --json")

    asked = _Asked(require_secrets, defaults, explain_retry, upgrade, quiet=as_json)
    checked = [_check_file(file, included_by or main_of(file), asked) for file in files]
    problems = [*_broken_plugins(), *(problem for one in checked for problem in one.problems)]
    if as_json:
        listed = [problem_json(problem) for problem in problems]
        schedules = [schedule for one in checked for schedule in one.schedules]
        content = {"problems": listed, "retry": schedules} if explain_retry else listed
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(annotation(problem) if style == "github" else str(problem), err=style == "text")
    bad = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    if any(problem.level in bad for problem in problems):
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the flags ask of each file."""

    require_secrets: bool
    defaults: bool
    explain_retry: bool
    upgrade: bool
    quiet: bool  #: print nothing about the file: all is in the JSON


@dataclass(frozen=True, slots=True)
class _Checked:
    """The result of one file."""

    problems: list[Problem]
    schedules: list[dict[str, Any]]  #: as JSON; empty if they are printed


def _check_file(file: Path, main: Path | None, asked: _Asked) -> _Checked:
    """Check a rules file, or a file that `main` includes, and print what the flags ask for."""
    from router.cli.check_included import check_included  # noqa: PLC0415 - `--help` need not wait
    from router.cli.retry_times import schedule_json, schedule_line  # noqa: PLC0415
    from router.rules.compile.upgrade import changes_of  # noqa: PLC0415

    found = loader(require_secrets=asked.require_secrets)
    loaded = found.load_file(file) if main is None else check_included(found, file, main)
    problems = list(loaded.problems)
    for part in [file, *_included(file, loaded, main)] if asked.upgrade else ():
        problems += changes_of(part, found.registries.actions)
    if not asked.quiet:
        _print_loaded(file, loaded, main, defaults=asked.defaults)
    actions = _every_action(loaded.ruleset) if loaded.ruleset is not None and asked.explain_retry else []
    if asked.quiet:
        return _Checked(problems, [schedule_json(str(file), action) for action in actions])
    for action in actions if main is None else ():
        click.echo(schedule_line(action))
    return _Checked(problems, [])


def _print_loaded(file: Path, loaded: "Loaded", main: Path | None, *, defaults: bool) -> None:
    """Print a line about a file without errors."""
    from router.cli.printing.settings import print_settings  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.text import counted  # noqa: PLC0415

    if main is not None:
        if not any(problem.level is Level.ERROR for problem in loaded.problems):
            click.echo(f"{file}: {_verdict(loaded.problems)}, included by {main}")
    elif loaded.ruleset is not None:
        ruleset = loaded.ruleset
        included = len(ruleset.text.included)
        more = f", {counted(included, 'included file')}" if included else ""
        counts = f"{counted(len(ruleset.rules), 'rule')}, {counted(len(ruleset.sources), 'source')}{more}"
        click.echo(f"{file}: {_verdict(loaded.problems)}, {counts}")
        if defaults:
            print_settings(ruleset)


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
