"""`webhook-router events`: the group, and list and show."""

from contextlib import closing
from typing import Any

import click

from router.cli.commands.events_explain import explain
from router.cli.commands.events_export import export
from router.cli.commands.events_replay import replay
from router.cli.failure import fail
from router.cli.options import json_option, now_ms, open_store, store_option, time_options
from router.cli.resolve import resolve_id
from router.cli.search_flags import SearchFlags, print_more, print_scanned, search, search_options
from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter

_LIST_HELP = """List events, the newest first, with the states of their deliveries.

\b
Examples:
  webhook-router events list
  webhook-router events list --source github --since 2h
  webhook-router events list --unmatched
  webhook-router events list --rule deploy --state dead
  webhook-router events list --provider-id 72d3162e-cc78-11e3-81ab-4c9367dc0958
  webhook-router events list --header 'X-GitHub-Event: push' --where '$.repository.full_name: acme/api'

--where takes conditions as a rule's match does, such as '$.commits[*].id: {prefix: 6dcb}'. Headers and
payloads have no index: the command looks at the newest --scan events, and says on standard error how to look further.
Exit codes: 0 done, 1 the store can't be read, 2 wrong usage.
"""

_SHOW_HELP = """Show an event: its request, headers and deliveries.

\b
Examples:
  webhook-router events show 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b
  webhook-router events show 0190a1b2-c3            (a beginning is enough if it fits one event only)
  webhook-router events show last --body > body.json

With the id of a delivery, its event is shown.

Exit codes: 0 done, 1 there is no such event or no store, 2 wrong usage.
"""


@click.group()
def events() -> None:
    """List and show received events, and deliver them again.

    \b
    webhook-router events list --since 2h             what was received
    webhook-router events show 0190…                  its headers, and its deliveries
    webhook-router events explain 0190…               which rules matched it, and why
    webhook-router events export last --as case       a rule test of it
    webhook-router events replay 0190…                deliver it again
    """


@events.command(name="list", help=_LIST_HELP)
@time_options
@click.option("--source", metavar="SOURCE", help="Only from this source.")
@click.option("--rule", metavar="RULE", help="Only those that this rule matched, or that have a delivery of it.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="Only those with a delivery in this state (with --rule: of that rule); repeatable.",
)
@click.option("--unmatched", is_flag=True, help="Only those that no rule matched.")
@search_options
@store_option
@json_option
def list_(
    source: str | None,
    rule: str | None,
    states: tuple[str, ...],
    provider_id: str | None,
    since: int | None,
    until: int | None,
    store: str,
    *,
    unmatched: bool,
    as_json: bool,
    **searched: Any,
) -> None:
    """List events."""
    from router.cli.printing.events import print_events  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.operate.queries import keys_of  # noqa: PLC0415
    from router.operate.search import find_events  # noqa: PLC0415
    from router.operate.serialize import event_head_json  # noqa: PLC0415

    flags = SearchFlags(**searched)
    keys = keys_of(provider_id) if provider_id is not None else ()
    which = EventFilter(source, since, until, rule, tuple(map(State, states)), unmatched, keys)
    with closing(open_store(store)) as opened:
        result = search(opened, "event", which, find_events, flags, as_json=as_json)
    if result.scanned_to is not None:
        print_scanned(result.scanned, "event", result.scanned_to.received_at)
    listed = result.items[: flags.limit]
    if as_json:
        print_json([event_head_json(head) for head in listed])
    elif listed:
        print_events(listed, now_ms())
        print_more(result.items, flags.limit)


@events.command(help=_SHOW_HELP)
@click.argument("event_id", metavar="ID")
@click.option("--body", is_flag=True, help="Print just the body: unchanged into a pipe, as safe text on a terminal.")
@store_option
@json_option
def show(event_id: str, store: str, *, body: bool, as_json: bool) -> None:
    """Show one event."""
    from router.cli.printing.events import print_body, print_event  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.operate.explain_event import routing_json  # noqa: PLC0415
    from router.operate.ids import find_event  # noqa: PLC0415
    from router.operate.serialize import body_json, delivery_json, event_json  # noqa: PLC0415
    from router.operate.status import waits_of  # noqa: PLC0415

    with closing(open_store(store)) as opened:
        event_id = resolve_id(opened, event_id, find_event)
        event = opened.event(event_id)
        deliveries = opened.deliveries(Filter(event_id=event_id), limit=10_000)
        waits = waits_of(opened, opened.owner())
        routing = opened.routing(event_id)
        rules = opened.ruleset(routing.ruleset) if routing is not None else None
    if event is None:
        fail(f"the event {event_id} was pruned in the meantime")
    if as_json:
        listed = [delivery_json(d, waits, now_ms()) for d in deliveries]
        content = {**event_json(event), "routing": routing_json(routing, rules), "deliveries": listed}
        print_json({**content, **body_json(event.body)} if body else content)
    elif body:
        print_body(event.body)
    else:
        print_event(event, deliveries, now_ms(), waits, routing, rules)


events.add_command(explain)
events.add_command(export)
events.add_command(replay)
