"""JSON, tables and lists of fields on standard output."""

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import click


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
    cells = [[Text(cell) for cell in row] for row in rows]
    for at, heading in enumerate(headings):
        widest = max(len(heading), *(row[at].cell_len for row in cells)) if cells else len(heading)
        if heading in folding:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, no_wrap=True, min_width=widest)
    for row in cells:
        table.add_row(*row)
    Console().print(table)


def print_columns(lines: Sequence[Sequence[str]], below: Sequence[str] = ()) -> None:
    """Print columns as wide as their widest cell. `below` has a line to print under each line but the first."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for number, line in enumerate(lines):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if below and number:
            click.echo(below[number - 1])


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print a name and a value on each line. The caller makes values safe."""
    pairs = list(fields)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {value}".rstrip())
