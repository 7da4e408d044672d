"""`webhook-router init`: writes a first rules file, with comments, for the chosen sources."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.cli.options import loader
from router.domain.errors import RouterError, StartError

if TYPE_CHECKING:
    from router.cli.starters.library import Starter

_HELP = """Write a rules file to start from, with comments, for your sources.

\b
Examples:
  webhook-router init                                        (asks which sources)
  webhook-router init --source github --source stripe
  webhook-router init team/rules.yaml --source internal
  webhook-router init --list

Each source comes with the settings to enter at its provider, the secret to set, and a rule that appends to a file. An
existing file is overwritten only with --force. Exit codes: 0 written, 1 not written, 2 wrong usage.
"""
_QUESTIONS = 3  #: times that init asks before it gives up
_MODE = 0o644  #: before the umask: serve refuses a file that others can write


@click.command(help=_HELP, short_help="Write a rules file to start from.")
@click.argument("file", type=click.Path(path_type=Path), default="rules.yaml")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="A source to start with; repeatable, or separated by commas.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option("--list", "listed", is_flag=True, help="List the sources to choose from, and write nothing.")
def init(file: Path, sources: tuple[str, ...], *, force: bool, listed: bool) -> None:
    """Write a rules file."""
    from router.cli.starters.preset_starters import all_starters  # noqa: PLC0415 - `--help` need not wait

    if listed:
        _list()
        return
    if str(file) in all_starters():
        raise click.UsageError(f"{file} is taken for the file's name; to start with that source, write --source {file}")
    if os.path.lexists(file) and not force:
        raise RouterError(f"{file} already exists; give another name, or --force to overwrite it")
    _check_path(file)
    if not sources and not _at_terminal():
        raise click.UsageError(f"name the sources, such as --source github; there are {', '.join(all_starters())}")
    _write_rules(file, _named(_words(sources)) if sources else _ask_sources())


def offer_rules(file: Path) -> None:
    """For `serve` without a rules file: offer to write one at a terminal. Raises StartError."""
    name = "" if str(file) == "rules.yaml" else f" {shlex.quote(str(file))}"
    if not os.path.isdir(os.path.realpath(file.parent)):
        raise StartError(f"there is no file {file}, and no folder {file.parent} either; is that the right place?")
    missing = f"there is no file {file}; `webhook-router init{name}` writes one to start from"
    if not _at_terminal():
        raise StartError(missing)
    click.echo(f"There is no file {file}.")
    if click.prompt("Write one to start from? y or n", default="n").strip().lower() not in ("y", "yes"):
        raise StartError(missing)
    try:
        _write_rules(file, _ask_sources())
    except RouterError as error:
        raise StartError(str(error)) from None
    click.echo()
    if loader(require_secrets=True).load_file(file).ruleset is None:
        raise StartError(f"{file} is written; now set the secrets as shown above, then `webhook-router serve{name}`")


def _check_path(file: Path) -> None:
    """Refuse a folder, a device or a pipe, which --force must not replace. Raises RouterError, UsageError."""
    if str(file) == "-":
        raise click.UsageError("- is no file name here; give one, such as rules.yaml")
    if file.is_dir():
        raise RouterError(f"{file} is a folder; name the file in it, such as {file / 'rules.yaml'}")
    if file.exists() and not file.is_file():
        raise RouterError(f"{file} is not a regular file; give another name")


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _write_rules(file: Path, chosen: "Sequence[Starter]") -> None:
    """Write the file of these starters, over an existing one, and print the next steps. Raises RouterError."""
    from router.cli.starters.compose import composed  # noqa: PLC0415 - `--help` need not wait

    _write(file, composed(chosen, str(file)))
    click.echo(f"wrote {file}, with {', '.join(starter.name for starter in chosen)}\n")
    _print_next(file, chosen)


def _ask_sources() -> "Sequence[Starter]":
    """Ask at the terminal which sources to start with."""
    from router.cli.starters.preset_starters import all_starters  # noqa: PLC0415 - `--help` need not wait

    known = list(all_starters().values())
    _list()
    for _ in range(_QUESTIONS):
        answer = click.prompt("\nWhich? Numbers or names, with blanks between", default="1")
        words = _words([answer])
        try:
            return _named([known[int(word) - 1].name if _is_number(word, len(known)) else word for word in words])
        except click.UsageError as error:
            click.echo(error.message, err=True)
    raise RouterError("no source was chosen; name one with --source")


def _words(texts: Sequence[str]) -> list[str]:
    return [word for text in texts for word in re.split(r"[\s,]+", text) if word]


def _is_number(word: str, most: int) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 4 and 0 < int(word) <= most


def _named(words: Sequence[str]) -> "Sequence[Starter]":
    """The starters of these names, each once."""
    from router.cli.starters.library import nearest  # noqa: PLC0415 - `--help` need not wait
    from router.cli.starters.preset_starters import all_starters  # noqa: PLC0415

    known = all_starters()
    for word in words:
        if word not in known:
            near = nearest(word, known)
            cure = f"; did you mean {near}?" if near else f"; there are {', '.join(known)}"
            raise click.UsageError(f"unknown source {word!r}{cure}")
    if not words:
        raise click.UsageError(f"name at least one source; there are {', '.join(known)}")
    return [known[word] for word in dict.fromkeys(words)]


def _list() -> None:
    from router.cli.starters.preset_starters import all_starters  # noqa: PLC0415 - `--help` need not wait

    for number, starter in enumerate(all_starters().values(), 1):
        click.echo(f"{number:3}  {starter.name:18} {starter.title}")


def _write(file: Path, text: str) -> None:
    """Write all of the file or nothing, so that a running daemon never reads half of it. Raises RouterError."""
    real = Path(os.path.realpath(file))
    draft = real.with_name(f".{real.name}.{os.getpid()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
            draft.replace(real)
        except BaseException:
            draft.unlink()
            raise
    except OSError as error:
        raise RouterError(f"{file} can't be written: {os.strerror(error.errno or 0)}") from None


def _print_next(file: Path, chosen: "Sequence[Starter]") -> None:
    name = shlex.quote(str(file))
    click.echo("What comes next:")
    click.echo(f"  webhook-router check {name}")
    for starter in chosen:
        if starter.secret:
            click.echo(f"  {starter.secret}")
    click.echo(f"  webhook-router serve {name}")
    same = " with the same secrets" if any(starter.secret for starter in chosen) else ""
    click.echo(f"Then, in another terminal{same}, send an event as the provider would:")
    for starter in chosen:
        click.echo(f"  {starter.trial_of(str(file))}")
