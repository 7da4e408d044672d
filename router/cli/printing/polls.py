"""Prints the result of a poll."""

from typing import TYPE_CHECKING, Any

import click

from router.cli.printing.preview import print_preview
from router.cli.printing.text import safe
from router.rules.dry_run.preview import preview

if TYPE_CHECKING:
    from router.operate.poll_source import PollReport
    from router.rules.ruleset import Ruleset
    from router.rules.source import Source

_SHOWN = 100  #: characters of an item


def beginning(body: bytes) -> str:
    """The beginning of an event's body, in one line."""
    text = " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())
    return safe(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def print_poll(ruleset: "Ruleset", source: "Source", report: "PollReport", *, dry: bool) -> None:
    """Print a summary, then each event with what is planned for it."""
    count, items = len(report.events), f"{report.items:,} item{'' if report.items == 1 else 's'}"
    kept = "would be stored" if dry else "stored"
    click.echo(f"{source.name}: {items}, {count:,} event{'' if count == 1 else 's'} {kept}")
    if not report.changed:
        click.echo("The service says that nothing has changed.")
    starts_now = source.poll is not None and source.poll.settings["start"] == "now"
    if report.first and dry and starts_now:
        click.echo("This is the first poll: with start: now it would only remember these items, and store no events.")
    elif report.first and report.items and not count:
        click.echo("This was the first poll: existing items are only remembered, and make no events (start: now).")
    for number, one in enumerate(report.events, 1):
        click.echo(f"\nevent {number} of {count}: {'' if dry else one.event.id + ' '}{beginning(one.event.body)}")
        print_preview(preview(ruleset, one.event).as_json())


def poll_json(ruleset: "Ruleset", report: "PollReport", *, dry: bool) -> dict[str, Any]:
    """The report as `sources poll --json` prints it."""
    return {
        "source": report.state.source,
        "items": report.items,
        "changed": report.changed,
        "first": report.first,
        "stored": not dry,
        "events": [
            {
                "id": one.event.id,
                "payload": one.event.body.decode(errors="replace"),
                **preview(ruleset, one.event).as_json(),
            }
            for one in report.events
        ],
    }
