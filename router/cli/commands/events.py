"""`webhook-router events`: list and show what was received, deliver it again, or plan it again under other rules."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from router.cli.named import each_one, tell_of_nothing, the_one
from router.cli.options import json_option, now_ms, open_store, store_option, time_options
from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter

_LIST_HELP = """List events, the newest first, with how their deliveries stand.

\b
Examples:
  webhook-router events list
  webhook-router events list --source github --since 2h

Exit codes: 0 done, 1 the store can't be read, 2 usage.
"""

_SHOW_HELP = """Show an event: its request, headers and deliveries.

\b
Examples:
  webhook-router events show 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b
  webhook-router events show 0190a1b2-c3            (the beginning of an id, when it is one event's only)
  webhook-router events show last --body > body.json

The id of a delivery shows its event.

Exit codes: 0 done, 1 there is no such event (or no store), 2 usage.
"""

_REPLAY_HELP = """Deliver events again; with --reroute, plan them again under the rules as they are now.

\b
Examples:
  webhook-router events replay 0190…                      (each of its deliveries again)
  webhook-router events replay 0190… --state dead
  webhook-router events replay --reroute 0190… --rules rules.yaml
  webhook-router events replay --reroute --source github --since 2h --dry-run

--reroute is for a rule that was written or mended after the event came: it adds the deliveries that the rules plan for
the event and that it does not have yet; with --again, those as well that it has. Where the daemon runs other rules,
what it does not know of follows the rules given here. To replay deliveries by a filter see `deliveries replay`.
Exit codes: 0 done, 1 an event that was named is not there (or bad rules, or no store), 2 usage.
"""


@click.group()
def events() -> None:
    """List and show received events, and deliver them again.

    \b
    webhook-router events list --since 2h             what came?
    webhook-router events show 0190…                  with which headers, and what became of it?
    webhook-router events replay 0190…                deliver it again
    """


@events.command(name="list", help=_LIST_HELP)
@time_options
@click.option("--source", metavar="SOURCE", help="Only those that came in by this source.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="How many at the most.")
@store_option
@json_option
def list_(source: str | None, since: int | None, until: int | None, limit: int, store: str, *, as_json: bool) -> None:
    """List events."""
    from router.cli.tables import print_events, print_json  # noqa: PLC0415 - `--help` need not wait
    from router.operate.queries import newest_events  # noqa: PLC0415
    from router.operate.serialize import head_json  # noqa: PLC0415

    with closing(open_store(store)) as opened:
        which = EventFilter(source, since, until)
        found = newest_events(opened, which, limit + 1)
        if not found:
            tell_of_nothing(opened, "event", which, as_json=as_json)
    shown = found[:limit]
    if as_json:
        print_json([head_json(e) for e in shown])
        return
    if not shown:
        return
    print_events(shown, now_ms())
    if len(found) > limit:
        click.echo(f"there are more than these {limit:,}; --limit shows more", err=True)


@events.command(help=_SHOW_HELP)
@click.argument("event_id", metavar="ID")
@click.option("--body", is_flag=True, help="The body alone: its very bytes into a pipe, as safe text on a terminal.")
@store_option
@json_option
def show(event_id: str, store: str, *, body: bool, as_json: bool) -> None:
    """Show one event."""
    from router.cli.tables import print_body, print_event, print_json  # noqa: PLC0415 - `--help` need not wait
    from router.operate.ids import named_event  # noqa: PLC0415
    from router.operate.serialize import body_json, delivery_json, event_json  # noqa: PLC0415
    from router.operate.status import waits_of  # noqa: PLC0415

    with closing(open_store(store)) as opened:
        event_id = the_one(opened, event_id, named_event)
        event = opened.event(event_id)
        deliveries = opened.deliveries(Filter(event_id=event_id), limit=10_000)
        waits = waits_of(opened, opened.owner())
    if event is None:
        click.echo(f"webhook-router: the event {event_id} was pruned meanwhile", err=True)
        sys.exit(1)
    if as_json:
        shown = {**event_json(event), "deliveries": [delivery_json(d, waits, now_ms()) for d in deliveries]}
        print_json({**shown, **body_json(event.body)} if body else shown)
    elif body:
        print_body(event.body)
    else:
        print_event(event, deliveries, now_ms(), waits)


@events.command(help=_REPLAY_HELP)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--reroute", is_flag=True, help="Plan them again under the rules as they are now.")
@click.option("--rules", type=click.Path(path_type=Path), help="With --reroute: which rules.  [default: rules.yaml]")
@click.option("--again", is_flag=True, help="With --reroute: also what the event has a delivery of already.")
@click.option("--source", metavar="SOURCE", help="With --reroute: the events that came in by this source.")
@time_options
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State if state is not State.RUNNING]),
    help="Without --reroute: only their deliveries in this state; repeatable. Default: any.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@store_option
@json_option
def replay(
    ids: tuple[str, ...],
    rules: Path | None,
    source: str | None,
    since: int | None,
    until: int | None,
    states: tuple[str, ...],
    store: str,
    *,
    reroute: bool,
    again: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Deliver events again."""
    which = EventFilter(source, since, until)
    if not reroute:
        if which != EventFilter():
            raise click.UsageError(
                "without --reroute give ids; `deliveries replay` takes --source, --since and --state"
            )
        if rules is not None or again:
            raise click.UsageError("--rules and --again go with --reroute")
        if not ids:
            raise click.UsageError("say which events to replay: their ids")
        _replay(ids, [State(state) for state in states] or list(State), store, dry_run=dry_run, as_json=as_json)
        return
    if states:
        raise click.UsageError("--state goes without --reroute")
    if bool(ids) == (which != EventFilter()):
        raise click.UsageError("say which events to plan again: either ids, or --source, --since, --until")
    from router.cli.commands.reroute import reroute as plan_again  # noqa: PLC0415 - `--help` need not wait

    plan_again(ids or which, rules or Path("rules.yaml"), store, again=again, dry_run=dry_run, as_json=as_json)


def _replay(ids: Sequence[str], states: Sequence[State], store: str, *, dry_run: bool, as_json: bool) -> None:
    from router.cli.change_report import shown  # noqa: PLC0415 - `--help` need not wait
    from router.cli.commands.deliveries import finish  # noqa: PLC0415
    from router.operate.bulk_change import REPLAY, BulkChange, ChangeReport, deliveries_of  # noqa: PLC0415
    from router.operate.ids import event_alone  # noqa: PLC0415

    report = ChangeReport(REPLAY, dry_run)
    with closing(open_store(store)) as opened:
        named = deliveries_of(opened, each_one(opened, ids, event_alone), report)
        with shown(report, len(named)) as advance:
            BulkChange(opened, report, states, now_ms, advance).named(named)
        owner = opened.owner()
    finish(report, owner, by_name=True, as_json=as_json)
