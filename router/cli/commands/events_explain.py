"""`webhook-router events explain`: show why an event went where it went."""

import sys
from contextlib import closing

import click

from router.cli.failure import fail
from router.cli.options import json_option, open_store, running_ruleset, store_option
from router.cli.resolve import resolve_id

_HELP = """Show why an event went where it went: each rule with its conditions. Nothing is executed.

\b
Examples:
  webhook-router events explain last
  webhook-router events explain 0190… --now         (by the rules that run now)
  webhook-router test new.yaml --event 0190… --explain     (by a rules file)

It uses the rules that routed the event when it was received; the store keeps their text as long as the event. If the
text is gone, or no longer compiles, it shows the result that was recorded then, and the exit code is 1.

Exit codes: 0 done, 1 there is no such event or no store, or the rules can't be used, 2 wrong usage.
"""


@click.command(help=_HELP)
@click.argument("event_id", metavar="ID")
@click.option("--now", is_flag=True, help="By the rules that the daemon runs or ran last.")
@store_option
@json_option
def explain(event_id: str, store: str, *, now: bool, as_json: bool) -> None:
    """Explain one event."""
    from router.cli.options import loader  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.explanation import print_explanation  # noqa: PLC0415
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.domain.errors import PayloadError  # noqa: PLC0415
    from router.operate.explain_event import explain_event  # noqa: PLC0415
    from router.operate.ids import find_event  # noqa: PLC0415

    recorded = loader(require_secrets=False)
    with closing(open_store(store)) as opened:
        event = opened.event(resolve_id(opened, event_id, find_event))
        if event is None:
            fail("the event was pruned in the meantime")
        running = running_ruleset(opened) if now else None
        try:
            found = explain_event(opened, event, running, lambda text: recorded.load_recorded(text).ruleset, now=now)
        except PayloadError as error:
            fail(f"the payload can't be parsed: {error}")
    if as_json:
        print_json(found.as_json())
    else:
        print_explanation(event, found)
    if found.shown is None:
        sys.exit(1)
