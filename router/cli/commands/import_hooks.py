"""`webhook-router import adnanh`: writes a rules file from the hooks of adnanh/webhook."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.domain.errors import RouterError

if TYPE_CHECKING:
    from router.cli.importers.adnanh.admission import NamedSecret
    from router.cli.importers.adnanh.hooks import Hook
    from router.cli.importers.adnanh.rules_text import Imported

_HELP = """Write a rules file for the hooks of adnanh/webhook (hooks.json or hooks.yaml).

\b
Examples:
  webhook-router import adnanh hooks.json --output rules.yaml
  webhook-router import adnanh hooks.json --output rules.yaml --secrets secrets.env
  webhook-router import adnanh --template hooks.json.tmpl          (a file for `webhook -template`)
  webhook-router import adnanh hooks.json | less

Each hook becomes a source, with the same path, and a rule. Where a part works differently here, a comment beside it
and the summary say how. A hook with a part that can't be carried over is switched off. Secrets don't get into the rules
file: it names an environment variable for each, and --secrets writes their values. Exit codes: 0 every hook is carried
over, 1 one is not, or a file can't be read, 2 wrong usage.
"""
_SECRET_MODE, _RULES_MODE = 0o600, 0o644  #: before the umask


@click.group("import", short_help="Write a rules file from another program's configuration.")
def import_group() -> None:
    """Write a rules file from the configuration of another program.

    \b
    webhook-router import adnanh hooks.json --output rules.yaml
    """


@import_group.command(help=_HELP, short_help="From hooks.json or hooks.yaml of adnanh/webhook.")
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="RULES", help="The rules file. Default: standard output."
)
@click.option(
    "--secrets", type=click.Path(path_type=Path), metavar="ENV", help="Write the secrets to this file, as NAME='value'."
)
@click.option("--url-prefix", default="hooks", show_default=True, help="What `webhook -urlprefix` says.")
@click.option("--template", is_flag=True, help="Read getenv and secret in the file, as `webhook -template` does.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def adnanh(
    files: tuple[Path, ...], *, output: Path | None, secrets: Path | None, url_prefix: str, template: bool, force: bool
) -> None:
    """Write a rules file for hooks."""
    from router.cli.importers.adnanh.rules_check import check_in  # noqa: PLC0415
    from router.cli.importers.adnanh.rules_text import import_hooks  # noqa: PLC0415 - `--help` need not wait

    for file in filter(None, (output, secrets)):
        if os.path.lexists(file) and not force:
            raise RouterError(f"{file} already exists; give another name, or --force to overwrite it")
    hooks = _read(files, is_template=template)
    imported = import_hooks(hooks, url_prefix.strip("/"), check_in(output.parent if output else Path()))
    if len(imported.refused) == len(imported.hooks):
        for hook, why in imported.refused:
            click.echo(f"{hook.hook.place}: {hook.hook.id}: {why}", err=True)
        raise RouterError("none of the hooks could be carried over")
    needed = [secret for hook in imported.hooks for secret in hook.secrets]
    if secrets is not None:
        _write(secrets, "".join(f"{one.variable}={_as_value(one)}\n" for one in needed), _SECRET_MODE)
    if output is None:
        click.echo(imported.text, nl=False)
    else:
        _write(output, imported.text, _RULES_MODE)
    _summarize(imported, needed, output, secrets)
    if not imported.is_complete:
        sys.exit(1)


def _read(files: Sequence[Path], *, is_template: bool) -> "list[Hook]":
    """The hooks of all files. Ends with exit code 1 when there are problems."""
    from router.cli.importers.adnanh.read_hooks import duplicates, read_hooks  # noqa: PLC0415

    hooks: list[Hook] = []
    problems = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise RouterError(f"{file} can't be read: {os.strerror(error.errno or 0)}") from None
        except UnicodeDecodeError:
            raise RouterError(f"{file} is not text in UTF-8") from None
        found, faults = read_hooks(text, str(file), os.environ, is_template=is_template)
        hooks += found
        problems += faults
    for problem in [*problems, *duplicates(hooks)]:
        click.echo(str(problem), err=True)
    if problems or duplicates(hooks):
        sys.exit(1)
    return hooks


def _as_value(secret: "NamedSecret") -> str:
    """The secret's value, quoted for a shell and for systemd's EnvironmentFile. Raises RouterError."""
    if "\n" in secret.value or "\0" in secret.value:
        raise RouterError(f"{secret.place}: the secret for {secret.variable} has several lines; set it by hand")
    if "'" not in secret.value:
        return f"'{secret.value}'"
    return '"' + "".join(f"\\{c}" if c in '"\\$`' else c for c in secret.value) + '"'


def _write(file: Path, text: str, mode: int) -> None:
    try:
        if os.path.lexists(file):
            file.unlink()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise RouterError(f"{file} can't be written: {os.strerror(error.errno or 0)}") from None


def _summarize(
    imported: "Imported", needed: "Sequence[NamedSecret]", output: Path | None, secrets: Path | None
) -> None:
    from router.cli.printing.text import counted, safe  # noqa: PLC0415

    off = {hook.hook.id for hook in imported.hooks if hook.is_off} | {hook.hook.id for hook, _ in imported.refused}
    lines = [f"{'imported' if output is None else f'wrote {output}:'} {counted(len(imported.hooks), 'hook')}"]
    if off:
        lines[0] += f", {len(off)} of them switched off: {', '.join(sorted(off))}"
    lost = [str(note) for note in imported.notes if note.lost]
    lost += [f"{hook.hook.place}: {hook.hook.id}: {why}" for hook, why in imported.refused]
    lines += _section("can't be carried over:", lost)
    lines += _section("differs:", [str(note) for note in imported.notes if not note.lost])
    if secrets is None:
        lines += _section("set before serve:", [f"{one.variable}, the secret of {one.place}" for one in needed])
    elif needed:
        lines.append(f"the secrets are in {secrets}; load them before serve: set -a; . {shlex.quote(_dotted(secrets))}")
    lines.append("differences for every hook: docs/from-adnanh.md")
    for line in lines:
        click.echo(safe(line), err=True)


def _section(title: str, entries: Sequence[str]) -> list[str]:
    return [title, *(f"  {entry}" for entry in dict.fromkeys(entries))] if entries else []


def _dotted(file: Path) -> str:
    return str(file) if file.is_absolute() else f"./{file}"
