"""Writes the manual page in the macros of man(7), from the help of all commands."""

import re
from collections.abc import Iterable, Iterator

import click

from router import __version__

_FILES = (
    ("rules.yaml", "the rules: sources, rules and actions"),
    ("webhook-router.db", "the store of events and deliveries, with its -wal and -shm"),
    ("webhook-router.db.token", "the token of the admin listener"),
)
_EXIT = (
    ("0", "done"),
    ("1", "a check failed, or a named thing was not found"),
    ("2", "wrong usage"),
    ("3", "could not start"),
    ("130", "interrupted, or a question answered with no"),
)


def manual_page(cli: click.Group) -> str:
    """The page of the program and all of its commands."""
    lines = [
        f'.TH WEBHOOK\\-ROUTER 1 "" "webhook\\-router {_escaped(__version__)}" "User Commands"',
        ".SH NAME",
        "webhook\\-router \\- route each webhook to the service, script or file it is meant for",
        ".SH SYNOPSIS",
        ".B webhook\\-router",
        ".I COMMAND",
        "[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        *_paragraphs(cli.help or ""),
        ".SH COMMANDS",
    ]
    context = click.Context(cli, info_name="webhook-router")
    for command, path in _commands(cli, context, ()):
        lines += _section(command, path)
    lines += [".SH ENVIRONMENT", *_tagged((name, text) for name, text in _environment(cli, context))]
    lines += [".SH FILES", *_tagged(_FILES), ".SH EXIT STATUS", *_tagged(_EXIT)]
    return "\n".join(lines) + "\n"


def _commands(
    group: click.Group, context: click.Context, path: tuple[str, ...]
) -> Iterator[tuple[click.Command, tuple[str, ...]]]:
    """All commands but groups, each with its path, such as `("events", "list")`."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from _commands(command, context, (*path, name))
        else:
            yield command, (*path, name)


def _section(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_escaped(' '.join(path))}"
    yield f"\\fBwebhook\\-router {_escaped(' '.join(path))}\\fR {_escaped(usage)}"
    yield ".PP"
    yield from _paragraphs(command.help or "")
    options = [record for parameter in command.params if (record := parameter.get_help_record(context)) is not None]
    yield from _tagged(options)


def _environment(cli: click.Group, context: click.Context) -> list[tuple[str, str]]:
    """The environment variables that set flags, each with its flag."""
    found: dict[str, str] = {}
    # A variable that several commands read is shown as a setting of the daemon.
    for command, path in sorted(_commands(cli, context, ()), key=lambda one: one[1] != ("serve",)):
        for parameter in command.params:
            if isinstance(parameter, click.Option) and isinstance(parameter.envvar, str):
                found.setdefault(parameter.envvar, f"{parameter.opts[0]} of {' '.join(path)}")
    return sorted(found.items())


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text; one that begins with \\b keeps its lines."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        lines = paragraph.strip("\n").split("\n")
        if lines[0].strip() == "\b":
            yield from (".nf", *(_line(line) for line in lines[1:]), ".fi")
        else:
            yield from (_line(line.strip()) for line in lines)


def _tagged(
    entries: Iterable[tuple[str, str]],
) -> Iterator[str]:
    for term, text in entries:
        yield ".TP"
        yield f"\\fB{_escaped(term)}\\fR"
        yield _line(re.sub(r"\s+", " ", text))


def _line(text: str) -> str:
    """A line of text, escaped so that man(7) does not take it for a macro."""
    escaped = _escaped(text)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _escaped(text: str) -> str:
    written = text.replace("\\", "\\e").replace("-", "\\-")
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in written)
