"""Prints events: as a table, one in full, or a body."""

import sys
from collections.abc import Sequence

import click

from router.cli.printing.deliveries import print_deliveries
from router.cli.printing.table import print_fields, print_table
from router.cli.printing.text import local_time, safe, safe_lines, size, span
from router.domain.deliveries import Delivery, RulesetText
from router.domain.events import Event, Routing
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


def print_event(
    e: Event,
    deliveries: Sequence[Delivery],
    now: int,
    waits: Waits,
    routing: Routing | None = None,
    rules: RulesetText | None = None,
) -> None:
    """Print an event with its headers and deliveries. `routing` has the rules that matched, `rules` their text."""
    print_fields(
        [
            ("event", e.id),
            ("received", f"{local_time(e.received_at)} ({span(now - e.received_at)} ago)"),
            ("source", safe(e.source)),
            ("request", safe(f"{e.method} {e.path}{'?' + e.query if e.query else ''}")),
            ("from", safe(e.ip)),
            ("body", size(len(e.body))),
            *([("dedupe key", safe(e.dedupe_key))] if e.dedupe_key is not None else []),
            *_routing_fields(routing, rules, e.received_at),
        ]
    )
    click.echo("\nheaders")
    for name, value in e.headers:
        click.echo(f"  {safe(name)}: {safe(value)}")
    click.echo("\ndeliveries" if deliveries else f"\nno deliveries: {_why_none(routing)}")
    if deliveries:
        print_deliveries(deliveries, now, waits)


def _why_none(routing: Routing | None) -> str:
    """Why an event has no deliveries."""
    if routing is None or not routing.matched:
        return "no rule matched"
    return "the rules that matched planned none, such as for disabled actions"


def _routing_fields(routing: Routing | None, rules: RulesetText | None, received_at: int) -> list[tuple[str, str]]:
    if routing is None:
        return []
    failed = [("not judged", safe(f"{rule}: {reason}")) for rule, reason in routing.errors]
    matched = ", ".join(map(safe, routing.matched)) or "no rule"
    return [("rules", rules_words(routing.ruleset, rules, received_at)), ("matched", matched), *failed]


def rules_words(ruleset_hash: str, text: RulesetText | None, received_at: int) -> str:
    """The hash of rules, and when they first ran: `1a2b3c4d5e6f, first run 2026-01-31 12:00:00 CET`."""
    if text is None:
        return f"{ruleset_hash[:12]}, its text is gone"
    # An earlier version recorded no first time; what is stored is then a later one.
    known = text.first_at is not None and text.first_at <= received_at
    return (
        f"{ruleset_hash[:12]}, first run {local_time(text.first_at)}" if known and text.first_at else ruleset_hash[:12]
    )


def print_body(body: bytes) -> None:
    """Print a body: unchanged into a pipe or file; on a terminal as safe text, or just its size if it is not UTF-8."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    try:
        text = body.decode()
    except UnicodeDecodeError:
        click.echo(f"{size(len(body))} that are not text; send them to a file: … --body > FILE")
        return
    for line in safe_lines(text):
        click.echo(line)
