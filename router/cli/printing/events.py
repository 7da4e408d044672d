"""Prints events: as a table, one in full, or a body."""

import sys
from collections.abc import Sequence

import click

from router.cli.printing.deliveries import print_deliveries
from router.cli.printing.table import print_fields, print_table
from router.cli.printing.text import local_time, safe, safe_lines, size, span
from router.domain.deliveries import Delivery
from router.domain.events import Event
from router.domain.summaries import EventHead
from router.operate.serialize import states_json
from router.operate.waits import Waits


def print_events(events: Sequence[EventHead], now: int) -> None:
    """Print a table of events."""
    headings = ("id", "age", "source", "request", "size", "deliveries")
    print_table(headings, [_event_cells(e, now) for e in events], folding=("source", "request", "deliveries"))


def _event_cells(e: EventHead, now: int) -> tuple[str, ...]:
    counts = ", ".join(f"{number} {state}" for state, number in states_json(e.deliveries).items())
    request = safe(f"{e.method} {e.path}")
    return (e.id, span(now - e.received_at), safe(e.source), request, size(e.size), counts or "none")


def print_event(e: Event, deliveries: Sequence[Delivery], now: int, waits: Waits) -> None:
    """Print an event with its headers and deliveries."""
    print_fields(
        [
            ("event", e.id),
            ("received", f"{local_time(e.received_at)} ({span(now - e.received_at)} ago)"),
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
    """Print a body: unchanged into a pipe or file; on a terminal as safe text, or just its size if it is not UTF-8."""
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
