"""`webhook-router events`: list, show and replay received events."""

import sys
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from router.cli.options import json_option, now_ms, open_store, store_option, time_options
from router.cli.resolve import print_no_match, resolve_id, resolve_ids
from router.cli.search_flags import asked_words, event_test, print_scanned, search_options
from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter

if TYPE_CHECKING:
    from router.rules.ruleset import Ruleset
    from router.store.contract import OperatorStore

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

_EXPLAIN_HELP = """Show why an event went where it went: each rule with its conditions. Nothing is executed.

\b
Examples:
  webhook-router events explain last
  webhook-router events explain 0190… --now         (by the rules that run now)
  webhook-router test new.yaml --event 0190… --explain     (by a rules file)

It uses the rules that routed the event when it was received; the store keeps their text as long as the event. If the
text is gone, or no longer compiles, it shows the result that was recorded then, and the exit code is 1.

Exit codes: 0 done, 1 there is no such event or no store, or the rules can't be used, 2 wrong usage.
"""

_EXPORT_HELP = """Write an event as a rule test, as a curl command, or just its body.

\b
Examples:
  webhook-router events export last --as case >> cases.yaml     (then: webhook-router test --cases cases.yaml)
  webhook-router events export 0190… --as curl | sh
  webhook-router events export 0190… --as payload > push.json

A case expects what the running rules do with the event, so it passes at first. Change what it expects to what is right,
then correct the rules until it passes again. Headers and query parameters with credentials and signatures are left out;
standard error names them. A payload is written as it is: look for secrets in it before you share it.

Exit codes: 0 done, 1 there is no such event or no store, or the rules can't be used, 2 wrong usage.
"""

_REPLAY_HELP = """Deliver events again. With --reroute: apply the current rules to them again.

\b
Examples:
  webhook-router events replay 0190…                      (each of its deliveries again)
  webhook-router events replay 0190… --state dead
  webhook-router events replay --reroute 0190… --rules rules.yaml
  webhook-router events replay --reroute --source github --since 2h --dry-run

Use --reroute after you added or corrected a rule: it adds the deliveries that the rules plan and the event does not
have yet; with --again, also those that it has. If the daemon runs other rules and does not know an action, the action
runs as the rules given here define it. To replay deliveries by a filter, see `deliveries replay`.
Exit codes: 0 done, 1 one of the IDs does not exist, the rules are invalid, or there is no store, 2 wrong usage.
"""


_REPLAYED = [state for state in State if state is not State.SKIPPED]  #: the default of --state


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
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="List at most this many."
)
@store_option
@json_option
def list_(
    source: str | None,
    rule: str | None,
    states: tuple[str, ...],
    provider_id: str | None,
    headers: tuple[str, ...],
    where: tuple[str, ...],
    since: int | None,
    until: int | None,
    scan: int,
    limit: int,
    store: str,
    *,
    unmatched: bool,
    as_json: bool,
) -> None:
    """List events."""
    from router.cli.printing.events import print_events  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.cli.progress import progress  # noqa: PLC0415
    from router.operate.queries import keys_of  # noqa: PLC0415
    from router.operate.search import Bounds, find_events  # noqa: PLC0415
    from router.operate.serialize import event_head_json  # noqa: PLC0415

    keys = keys_of(provider_id) if provider_id is not None else ()
    which = EventFilter(source, since, until, rule, tuple(map(State, states)), unmatched, keys)
    with closing(open_store(store)) as opened:
        test = event_test(opened, headers, where)
        with progress("looking", scan) if test else nullcontext(lambda _: None) as advance:
            result = find_events(opened, which, test, limit + 1, Bounds(scan, advance=advance))
        found = result.items
        if not found:
            print_no_match(opened, "event", which, as_json=as_json, searched=asked_words(headers, where))
    if result.scanned_to is not None:
        print_scanned(result.scanned, "event", result.scanned_to.received_at)
    listed = found[:limit]
    if as_json:
        print_json([event_head_json(e) for e in listed])
        return
    if not listed:
        return
    print_events(listed, now_ms())
    if len(found) > limit:
        click.echo(f"there are more than these {limit:,}; --limit shows more", err=True)


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
        click.echo(f"webhook-router: the event {event_id} was pruned in the meantime", err=True)
        sys.exit(1)
    if as_json:
        listed = [delivery_json(d, waits, now_ms()) for d in deliveries]
        content = {**event_json(event), "routing": routing_json(routing, rules), "deliveries": listed}
        print_json({**content, **body_json(event.body)} if body else content)
    elif body:
        print_body(event.body)
    else:
        print_event(event, deliveries, now_ms(), waits, routing, rules)


@events.command(help=_EXPLAIN_HELP)
@click.argument("event_id", metavar="ID")
@click.option("--now", is_flag=True, help="By the rules that the daemon runs or ran last.")
@store_option
@json_option
def explain(event_id: str, store: str, *, now: bool, as_json: bool) -> None:
    """Explain one event."""
    from router.cli.options import loader, running_ruleset  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.explanation import print_explanation  # noqa: PLC0415
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.domain.errors import PayloadError  # noqa: PLC0415
    from router.operate.explain_event import explain_event  # noqa: PLC0415
    from router.operate.ids import find_event  # noqa: PLC0415

    recorded = loader(require_secrets=False)
    with closing(open_store(store)) as opened:
        event = opened.event(resolve_id(opened, event_id, find_event))
        if event is None:
            click.echo("webhook-router: the event was pruned in the meantime", err=True)
            sys.exit(1)
        running = running_ruleset(opened) if now else None
        try:
            found = explain_event(opened, event, running, lambda text: recorded.load_recorded(text).ruleset, now=now)
        except PayloadError as error:
            click.echo(f"webhook-router: the payload can't be parsed: {error}", err=True)
            sys.exit(1)
    if as_json:
        print_json(found.as_json())
    else:
        print_explanation(event, found)
    if found.shown is None:
        sys.exit(1)


@events.command(help=_EXPORT_HELP)
@click.argument("event_id", metavar="ID")
@click.option("--as", "form", type=click.Choice(["case", "curl", "payload"]), required=True, help="What to write.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    help="With --as case: the rules file whose result is expected.  [default: the running rules]",
)
@click.option("--to", metavar="URL", help="With --as curl: the daemon's address.  [default: http://127.0.0.1:8080]")
@store_option
def export(event_id: str, form: str, rules: Path | None, to: str | None, store: str) -> None:
    """Write one event."""
    from router.cli.printing.events import print_body  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.text import safe  # noqa: PLC0415
    from router.domain.errors import PayloadError  # noqa: PLC0415
    from router.operate.export_event import as_case, as_curl  # noqa: PLC0415
    from router.operate.ids import find_event  # noqa: PLC0415

    for flag, given, of in (("--rules", rules, "case"), ("--to", to, "curl")):
        if given is not None and form != of:
            raise click.UsageError(f"{flag} needs --as {of}")
    with closing(open_store(store)) as opened:
        event = opened.event(resolve_id(opened, event_id, find_event))
        if event is None:
            _fail("the event was pruned in the meantime")
        ruleset = _expected_rules(opened, rules) if form == "case" else None
    if form == "payload":
        print_body(event.body)
        return
    if ruleset is None:
        exported = as_curl(event, to or "http://127.0.0.1:8080")
    elif event.source not in ruleset.sources:
        _fail(f"these rules have no source {safe(event.source)}; name other rules: --rules FILE")
    else:
        try:
            exported = as_case(event, ruleset)
        except PayloadError as error:
            _fail(f"the payload can't be parsed by these rules: {error}")
    click.echo(exported.text, nl=False)
    for note in exported.notes:
        click.echo(safe(note), err=True)


def _expected_rules(store: "OperatorStore", rules: Path | None) -> "Ruleset":
    from router.cli.options import loader, running_ruleset  # noqa: PLC0415 - `--help` need not wait

    if rules is None:
        return running_ruleset(store) or _fail(
            "the store has no recorded rules that still compile; name the rules file: --rules FILE"
        )
    loaded = loader(require_secrets=False).load_file(rules)
    if loaded.ruleset is None:
        for problem in loaded.problems:
            click.echo(str(problem), err=True)
        sys.exit(1)
    return loaded.ruleset


def _fail(message: str) -> NoReturn:
    click.echo(f"webhook-router: {message}", err=True)
    sys.exit(1)


@events.command(help=_REPLAY_HELP)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--reroute", is_flag=True, help="Apply the current rules again.")
@click.option("--rules", type=click.Path(path_type=Path), help="With --reroute: the rules file.  [default: rules.yaml]")
@click.option("--again", is_flag=True, help="With --reroute: also add deliveries that the event has already.")
@click.option("--source", metavar="SOURCE", help="With --reroute: the events from this source.")
@time_options
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State if state is not State.RUNNING]),
    help="Without --reroute: only deliveries in this state; repeatable. Default: any but skipped.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")
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
            raise click.UsageError("--rules and --again need --reroute")
        if not ids:
            raise click.UsageError("give the ids of the events to replay")
        _replay(ids, [State(state) for state in states] or _REPLAYED, store, dry_run=dry_run, as_json=as_json)
        return
    if states:
        raise click.UsageError("--state can't be used with --reroute")
    if bool(ids) == (which != EventFilter()):
        raise click.UsageError("give the events to plan again: either ids, or --source, --since, --until")
    from router.cli.commands.reroute import reroute as run_reroute  # noqa: PLC0415 - `--help` need not wait

    run_reroute(ids or which, rules or Path("rules.yaml"), store, again=again, dry_run=dry_run, as_json=as_json)


def _replay(ids: Sequence[str], states: Sequence[State], store: str, *, dry_run: bool, as_json: bool) -> None:
    from router.cli.change_deliveries import finish  # noqa: PLC0415 - `--help` need not wait
    from router.cli.change_report import change_progress  # noqa: PLC0415
    from router.operate.bulk_change import BulkChange, ChangeReport, deliveries_of  # noqa: PLC0415
    from router.operate.delivery_operation import REPLAY  # noqa: PLC0415
    from router.operate.ids import find_event_strict  # noqa: PLC0415

    report = ChangeReport(REPLAY, dry_run)
    with closing(open_store(store)) as opened:
        delivery_ids = deliveries_of(opened, resolve_ids(opened, ids, find_event_strict), report)
        with change_progress(report, len(delivery_ids)) as advance:
            BulkChange(opened, report, states, now_ms, advance).by_ids(delivery_ids)
        owner = opened.owner()
    finish(report, owner, by_id=True, as_json=as_json)
