"""Prints why a stored event went where it went."""

import click

from router.cli.printing.preview import print_explained, print_preview
from router.cli.printing.text import local_time, safe
from router.domain.events import Event, Routing
from router.operate.explain_event import ExplainedEvent


def print_explanation(event: Event, found: ExplainedEvent) -> None:
    """Print which rules were evaluated, and why each matched or did not."""
    click.echo(f"event {event.id}, received {local_time(event.received_at)}")
    click.echo(_rules_line(event, found))
    if found.shown is None:
        click.echo(f"these rules can't be used: {found.unusable}")
        if found.recorded is not None:
            click.echo("their result was recorded then:")
            _print_recorded(found.recorded)
        if not found.now:
            click.echo("for the rules that run now: webhook-router events explain --now " + event.id)
        return
    if found.now and found.recorded is not None and found.recorded.matched != found.shown.matched:
        click.echo(f"a different result was recorded then: matched {_names(found.recorded)}")
    click.echo()
    print_preview(found.shown.as_json())
    for rule in found.shown.explained or ():
        print_explained(rule)


def _rules_line(event: Event, found: ExplainedEvent) -> str:
    which = "the rules that run now" if found.now else "the rules that routed it then"
    named = f", {found.hash[:12]}" if found.hash is not None else ""
    is_known = found.first_at is not None and (found.now or found.first_at <= event.received_at)
    return f"by {which}{named}" + (f", first run {local_time(found.first_at)}" if is_known and found.first_at else "")


def _print_recorded(routing: Routing) -> None:
    click.echo(f"  matched: {_names(routing)}")
    for rule, reason in routing.errors:
        click.echo(safe(f"  rule {rule} could not be judged: {reason}"))


def _names(routing: Routing) -> str:
    return ", ".join(map(safe, routing.matched)) or "no rule"
