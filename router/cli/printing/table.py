"""JSON, tables and lists of fields on standard output."""

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import click

from router.cli.printing.colors import color_of, colored, colors_on


def print_json(value: Any) -> None:
    """Print a value for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], folding: Collection[str] = ()) -> None:
    """Print a table. On a terminal the columns in `folding` wrap to its width; otherwise every cell is on one line.

    The caller makes cells safe.
    """
    if not sys.stdout.isatty():
        print_columns([headings, *rows])
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    cells = [
        [Text(cell, style=color_of(heading, cell) or "") for heading, cell in zip(headings, row, strict=True)]
        for row in rows
    ]
    for at, heading in enumerate(headings):
        widest = max(len(heading), *(row[at].cell_len for row in cells)) if cells else len(heading)
        if heading in folding:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, no_wrap=True, min_width=widest)
    for row in cells:
        table.add_row(*row)
    Console(color_system="auto" if colors_on() else None).print(table)


def print_columns(lines: Sequence[Sequence[str]], below: Sequence[str] = ()) -> None:
    """Print columns as wide as their widest cell. `below` has a line to print under each line but the first."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for number, line in enumerate(lines):
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        if number and colors_on():
            padded = [colored(heading, cell) for heading, cell in zip(lines[0], padded, strict=True)]
        click.echo("  ".join(padded).rstrip())
        if below and number:
            click.echo(below[number - 1])


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print a name and a value on each line. The caller makes values safe."""
    pairs = list(fields)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {colored(name, value)}".rstrip())
