"""How events, deliveries and attempts are shown to people: tables and fields.

What came from outside may hold anything: `safe` makes it harmless to a terminal, and no markup is ever read from it.
"""

import json
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from router.actions.registry import status_word
from router.domain.deliveries import Attempt, Delivery, State
from router.domain.events import Event
from router.domain.summaries import EventHead
from router.domain.target_state import Wait
from router.operate.serialize import states_json, took
from router.operate.waits import Waiting, Waits

_WIDE = 130  #: columns from which a terminal has room for a delivery in one line
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000


def safe(text: str) -> str:
    """Text in one line in which every control character, line ends included, is written out as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def safe_lines(text: str) -> list[str]:
    """The lines of a text, each safe; tabs are blanks."""
    return [safe(line) for line in text.expandtabs(4).replace("\r\n", "\n").split("\n")]


def local(at: int) -> str:
    """The time here, with its zone."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def span(ms: int) -> str:
    """A duration in the unit that fits: `850ms`, `42s`, `5m`, `3h`, `2d`."""
    for unit, size in (("d", 2 * _DAY), ("h", 2 * _HOUR), ("m", 2 * _MINUTE), ("s", _SECOND)):
        if ms >= size:
            return f"{ms // {'d': _DAY, 'h': _HOUR, 'm': _MINUTE, 's': _SECOND}[unit]}{unit}"
    return f"{max(0, ms)}ms"


def counted(number: int, noun: str) -> str:
    """`1 delivery`, `1,200 deliveries`, `2 rules`."""
    if number != 1:
        noun = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun}"


def size(count: int) -> str:
    """Bytes as people read them."""
    if count < 1024:
        return f"{count} B"
    for unit, factor in (("KiB", 1024), ("MiB", 1024**2)):
        if count < 1024 * factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1024**3:.1f} GiB"


def print_json(value: Any) -> None:
    """For programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], folding: Collection[str] = ()) -> None:
    """A table: on a terminal as wide as that is, to which only the columns of `folding` give way; else plain and whole.

    The cells are safe already.
    """
    if not sys.stdout.isatty():
        _print_plain([headings, *rows])
        return
    from rich.console import Console  # noqa: PLC0415 - only a person at a terminal waits for it
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


def _print_plain(lines: Sequence[Sequence[str]], below: Sequence[str] = ()) -> None:
    """Columns as wide as their widest cell; `below` has a line to go under each but the first."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for number, line in enumerate(lines):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if below and number:
            click.echo(below[number - 1])


def print_deliveries(deliveries: Sequence[Delivery], now: int, waits: Waits) -> None:
    """Deliveries as a table; on a terminal that is too narrow for it, each in two lines."""
    headings = ("id", "state", "rule/action", "target", "attempts", "next try", "age", "error")
    rows = [_delivery_cells(d, now, waits) for d in deliveries]
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or columns >= _WIDE:
        print_table(headings, rows, folding=("rule/action", "target", "error"))
        return
    short = [(id_, state, attempts, soon, age) for id_, state, _, _, attempts, soon, age, _ in [headings, *rows]]
    details = [f"  {place} to {target}{': ' + error if error else ''}" for _, _, place, target, _, _, _, error in rows]
    _print_plain(short, [line if len(line) <= columns else line[: columns - 1] + "…" for line in details])


def _delivery_cells(d: Delivery, now: int, waits: Waits) -> tuple[str, ...]:
    place = safe(f"{d.rule}/{d.action}")
    age = span(now - d.created_at)
    return d.id, d.state.value, place, safe(d.target), str(d.attempts), next_try(d, now, waits), age, safe(d.error)


def next_try(d: Delivery, now: int, waits: Waits) -> str:
    """When a delivery is attempted next, in few words: `due`, `in 5m`, `in its turn`, `rate, in 59m`, `concurrency`."""
    if d.state is not State.PENDING:
        return "-"
    waiting = waits.of(d, now)
    if waiting is None:
        return "due"
    if waiting.reason is Wait.ORDER:
        return "in its turn"
    soon = "" if waiting.until is None else f"in {span(waiting.until - now)}"
    return soon if waiting.reason is Wait.RETRY else wait_words(waiting, now)


def wait_words(waiting: Waiting, now: int) -> str:
    """What is waited for, and for how long: `rate, in 59m`."""
    soon = "" if waiting.until is None else f", in {span(waiting.until - now)}"
    return f"{waiting.reason.value}{soon}"


_WAITS = {
    Wait.RATE: "waits for the target's rate",
    Wait.BREAKER: "waits for the target's breaker",
    Wait.CONCURRENCY: "waits for an attempt at the target to end",
}


def _waits_in_full(d: Delivery, now: int, waits: Waits) -> str:
    waiting = waits.of(d, now)
    if waiting is None or waiting.reason not in _WAITS:
        return next_try(d, now, waits)
    until = "" if waiting.until is None else f", goes on in {span(waiting.until - now)} ({local(waiting.until)})"
    return f"due, {_WAITS[waiting.reason]}{until}"


def print_events(events: Sequence[EventHead], now: int) -> None:
    """Events as a table."""
    headings = ("id", "age", "source", "request", "size", "deliveries")
    print_table(headings, [_event_cells(e, now) for e in events], folding=("source", "request", "deliveries"))


def _event_cells(e: EventHead, now: int) -> tuple[str, ...]:
    counts = ", ".join(f"{number} {state}" for state, number in states_json(e.deliveries).items())
    request = safe(f"{e.method} {e.path}")
    return (e.id, span(now - e.received_at), safe(e.source), request, size(e.size), counts or "none")


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """One fact a line, the names in a column of their own. The values are safe already."""
    pairs = list(fields)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {value}".rstrip())


def print_event(e: Event, deliveries: Sequence[Delivery], now: int, waits: Waits) -> None:
    """An event with its headers and deliveries."""
    print_fields(
        [
            ("event", e.id),
            ("received", f"{local(e.received_at)} ({span(now - e.received_at)} ago)"),
            ("source", safe(e.source)),
            ("request", safe(f"{e.method} {e.path}{'?' + e.query if e.query else ''}")),
            ("from", safe(e.ip)),
            ("body", size(len(e.body))),
            *([("dedupe key", safe(e.dedupe_key))] if e.dedupe_key is not None else []),
        ]
    )
    click.echo("\nheaders")
    for name, value in e.headers:
        click.echo(f"  {safe(name)}: {safe(value)}")
    click.echo("\ndeliveries" if deliveries else "\nno deliveries: no rule matched")
    if deliveries:
        print_deliveries(deliveries, now, waits)


def print_body(body: bytes) -> None:
    """A body: its very bytes into a pipe or file; on a terminal as safe text, or what it is when it is no text."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    try:
        text = body.decode()
    except UnicodeDecodeError:
        click.echo(f"{size(len(body))} that are no text; send them to a file: … --body > FILE")
        return
    for line in safe_lines(text):
        click.echo(line)


def print_delivery(d: Delivery, attempts: Sequence[Attempt], now: int, waits: Waits, next_ruleset: str | None) -> None:
    """A delivery with every attempt; `next_ruleset` is the hash of the rules that the next one goes by."""
    next_words = f", {_waits_in_full(d, now, waits)}" if d.state is State.PENDING else ""
    print_fields(
        [
            ("delivery", d.id),
            ("event", d.event_id),
            ("state", d.state.value + next_words),
            ("rule/action", safe(f"{d.rule}/{d.action} ({d.type})")),
            ("target", safe(d.target)),
            *([("order key", safe(d.order_key))] if d.order_key is not None else []),
            ("planned", f"{local(d.created_at)} ({span(now - d.created_at)} ago)"),
            ("attempts", f"{d.attempts} counted since the first one or the last replay"),
            ("rules", _rules_words(d, next_ruleset, attempted=bool(attempts))),
            *([("error", safe(d.error))] if d.error else []),
        ]
    )
    for attempt in attempts:
        _print_attempt(attempt, now, status_word(d.type))


def _rules_words(d: Delivery, next_ruleset: str | None, *, attempted: bool) -> str:
    words = f"{d.ruleset[:12]} ({'last attempted by' if attempted else 'planned by'} them)"
    if next_ruleset is not None and next_ruleset != d.ruleset:
        words += f"; the next attempt goes by {next_ruleset[:12]}, which the daemon runs"
    return words


def _print_attempt(a: Attempt, now: int, number: str) -> None:
    lasted = took(a)
    shown = "" if a.finished_at is None else f", took {'-' if lasted is None else span(lasted)}"
    outcome = a.outcome.value if a.outcome else f"under way for {span(now - a.started_at)}"
    status = "" if a.status is None else f", {number} {a.status}"
    click.echo(f"\nattempt {a.number}: {local(a.started_at)}{shown}: {outcome}{status}")
    if a.error:
        click.echo(f"  {safe(a.error)}")
    if a.excerpt:
        for line in safe_lines(a.excerpt.rstrip("\r\n")):
            click.echo(f"  | {line}".rstrip())
