"""The manual page describes every command, flag and variable, and escapes its text."""

import re
from collections.abc import Iterator

import click

from router.cli.main import cli
from router.cli.manual import manual_page
from tests.cases import each

PAGE = manual_page(cli)
MACROS = (".TH", ".SH", ".SS", ".PP", ".TP", ".nf", ".fi", ".B", ".I")


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def _shown(page: str) -> str:
    """The page's text without macros and layout."""
    return page.replace("\\-", "-").replace("\\e", "\\")


@each(("path", "command"), list(commands(cli)), ids=lambda given: " ".join(given) if isinstance(given, tuple) else "")  # fmt: skip
def test_every_command_has_a_section_with_its_flags(path: tuple[str, ...], command: click.Command) -> None:
    section = re.search(
        rf"^\.SS {re.escape(' '.join(path))}\n(.*?)(?=^\.S[SH] )", _shown(PAGE), re.DOTALL | re.MULTILINE
    )

    assert section is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[0] in section[1]
    assert (command.help or "").split("\n", maxsplit=1)[0][:40] in re.sub(r"\s+", " ", section[1])


def test_every_line_that_begins_with_a_dot_is_a_macro() -> None:
    odd = [line for line in PAGE.splitlines() if line[:1] in (".", "'") and line.split()[0] not in MACROS]

    assert odd == []
    assert PAGE.isascii()
    assert "\\b" not in PAGE.replace("\\bs", "")


def test_examples_keep_their_lines() -> None:
    assert ".nf\nExamples:\n  webhook\\-router reload\n" in PAGE


def test_variables_are_named_with_their_flags() -> None:
    assert ".TP\n\\fBWEBHOOK_ROUTER_LISTEN\\fR\n\\-\\-listen of serve" in PAGE


def test_text_that_looks_like_a_macro_is_escaped() -> None:
    @click.command(help=".SH not a heading\n\n\b\n'quoted\n\\fB back")
    def odd() -> None: ...

    page = manual_page(click.Group("g", commands={"odd": odd}))

    assert "\\&.SH not a heading" in page
    assert "\\&'quoted" in page
    assert "\\efB back" in page
