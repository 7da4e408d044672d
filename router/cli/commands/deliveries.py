"""`webhook-router deliveries`: list, show, replay and cancel what is to be delivered."""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from router.cli.named import each_one, of_event, tell_of_nothing, the_one
from router.cli.options import filter_of, filter_options, json_option, now_ms, open_store, store_option
from router.domain.deliveries import State
from router.domain.filters import Filter

if TYPE_CHECKING:
    from router.domain.deliveries import Delivery
    from router.operate.bulk_change import ChangeReport, Verb
    from router.store.contract import OperatorStore

_LIST_HELP = """List deliveries, the newest first.

\b
Examples:
  webhook-router deliveries list --state dead --since 2h
  webhook-router deliveries list --rule deploy-main --json | jq -r '.[].id'
  webhook-router deliveries list --event last

Exit codes: 0 done, 1 the store can't be read, 2 usage.
"""

_SHOW_HELP = """Show a delivery with every attempt.

\b
Examples:
  webhook-router deliveries show 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b
  webhook-router deliveries show 0190a1b2-c3        (the beginning of an id, when it is one delivery's only)
  webhook-router deliveries show last

Exit codes: 0 done, 1 there is no such delivery (or no store), 2 usage.
"""

_REPLAY_HELP = """Deliver again: named deliveries, or all that a filter finds, the oldest first.

\b
Examples:
  webhook-router deliveries replay 0190…
  webhook-router deliveries replay --rule deploy-main --since 2h --dry-run
  webhook-router deliveries replay --target ci --state pending      (those that wait for their next try)
  webhook-router deliveries replay --all

A delivery that is dead or cancelled begins anew, with all its tries; a pending one is only due at once; one that has
succeeded is left alone unless --state succeeded is said. A daemon that runs begins within a second.
Exit codes: 0 done, 1 a delivery that was named is not there (or no store), 2 usage.
"""

_CANCEL_HELP = """Give up deliveries: named ones, or all that a filter finds.

\b
Examples:
  webhook-router deliveries cancel 0190…
  webhook-router deliveries cancel --rule deploy-main --dry-run
  webhook-router deliveries cancel --rule deploy-main --state pending --state dead

A filter finds pending deliveries unless --state is said. An attempt that is under way is not stopped, but its outcome
is not recorded any more. `deliveries replay` takes a cancelled one up again.
Exit codes: 0 done, 1 a delivery that was named is not there (or no store), 2 usage.
"""


@click.group()
def deliveries() -> None:
    """List, show, replay and cancel deliveries.

    \b
    webhook-router deliveries list --state dead       what failed for good?
    webhook-router deliveries show 0190…              why?
    webhook-router deliveries replay --since 2h       deliver it again
    """


@deliveries.command(name="list", help=_LIST_HELP)
@filter_options(list(State), "any")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="How many at the most.")
@store_option
@json_option
def list_(states: tuple[str, ...], limit: int, store: str, *, as_json: bool, **given: Any) -> None:
    """List deliveries."""
    from router.cli.tables import print_deliveries, print_json  # noqa: PLC0415 - `--help` need not wait
    from router.operate.queries import newest_deliveries  # noqa: PLC0415
    from router.operate.serialize import delivery_json  # noqa: PLC0415
    from router.operate.status import waits_of  # noqa: PLC0415

    with closing(open_store(store)) as opened:
        which = filter_of(states, {**given, "event": of_event(opened, given["event"])})
        found = newest_deliveries(opened, which, limit + 1)
        if not found:
            tell_of_nothing(opened, "delivery", which, as_json=as_json)
        waits = waits_of(opened, opened.owner())
    shown = found[:limit]
    if as_json:
        now = now_ms()
        print_json([delivery_json(d, waits, now) for d in shown])
        return
    if not shown:
        return
    print_deliveries(shown, now_ms(), waits)
    if len(found) > limit:
        click.echo(f"there are more than these {limit:,}; --limit shows more", err=True)


@deliveries.command(help=_SHOW_HELP)
@click.argument("delivery_id", metavar="ID")
@store_option
@json_option
def show(delivery_id: str, store: str, *, as_json: bool) -> None:
    """Show one delivery."""
    from router.cli.tables import print_delivery, print_json  # noqa: PLC0415 - as above
    from router.operate.ids import named_delivery  # noqa: PLC0415
    from router.operate.serialize import attempt_json, delivery_json  # noqa: PLC0415
    from router.operate.status import waits_of  # noqa: PLC0415

    with closing(open_store(store)) as opened:
        delivery_id = the_one(opened, delivery_id, named_delivery)
        found = opened.delivery(delivery_id)
        attempts = opened.attempts(delivery_id)
        waits = waits_of(opened, opened.owner())
        following = _next_ruleset(opened, found) if found is not None else None
    if found is None:
        click.echo(f"webhook-router: the delivery {delivery_id} was pruned meanwhile", err=True)
        sys.exit(1)
    if as_json:
        shown = {**delivery_json(found, waits, now_ms()), "next_ruleset": following}
        print_json({**shown, "attempts_made": [attempt_json(a) for a in attempts]})
    else:
        print_delivery(found, attempts, now_ms(), waits, following)


def _next_ruleset(store: "OperatorStore", found: "Delivery") -> str | None:
    """The rules that the next attempt goes by: the daemon's, by the text that the store keeps of them."""
    from router.cli.options import loader  # noqa: PLC0415 - as above
    from router.operate.next_ruleset import next_ruleset  # noqa: PLC0415
    from router.operate.status import note  # noqa: PLC0415

    if found.state not in (State.PENDING, State.RUNNING):
        return None
    running = str(note(store, "rules").get("hash", ""))
    text = store.ruleset(running) if running != found.ruleset else None
    current = loader(require_secrets=False).load_recorded(text).ruleset if text is not None else None
    return found.ruleset if current is None else next_ruleset(found, current)


def _change_options(command: Any) -> Any:
    for flag, text in (
        ("--yes", "Don't ask, when nothing but a state says which."),
        ("--all", "All of them: needed when nothing but a state says which."),
        ("--dry-run", "Say what would be done, and change nothing."),
    ):
        name = flag.removeprefix("--").replace("-", "_")
        command = click.option(flag, "every" if name == "all" else name, is_flag=True, help=text)(command)
    return json_option(store_option(command))


@deliveries.command(help=_REPLAY_HELP)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@filter_options([State.PENDING, State.SUCCEEDED, State.DEAD, State.CANCELLED], "dead; of named ones any but succeeded")
@_change_options
def replay(ids: tuple[str, ...], states: tuple[str, ...], store: str, **given: Any) -> None:
    """Deliver again."""
    from router.operate.bulk_change import REPLAY  # noqa: PLC0415 - `--help` need not wait

    _run(REPLAY, ids, states, store, given)


@deliveries.command(help=_CANCEL_HELP)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@filter_options([State.PENDING, State.RUNNING, State.DEAD], "pending; of named ones any")
@_change_options
def cancel(ids: tuple[str, ...], states: tuple[str, ...], store: str, **given: Any) -> None:
    """Give up."""
    from router.operate.bulk_change import CANCEL  # noqa: PLC0415 - `--help` need not wait

    _run(CANCEL, ids, states, store, given)


def _run(verb: "Verb", ids: Sequence[str], said: Sequence[str], store: str, given: dict[str, Any]) -> None:
    from router.cli.change_report import shown  # noqa: PLC0415 - as above
    from router.operate.bulk_change import BulkChange, ChangeReport, narrowed  # noqa: PLC0415
    from router.operate.ids import named_delivery  # noqa: PLC0415

    which = filter_of(said or [state.value for state in verb.found], given)
    if ids and (narrowed(which) or given["every"]):
        raise click.UsageError("give either ids or a filter; with ids, only --state narrows them")
    report = ChangeReport(verb, given["dry_run"])
    with closing(open_store(store)) as opened:
        if ids:
            states = [State(state) for state in said] or verb.named
            ids = each_one(opened, ids, named_delivery)
            with shown(report, len(ids)) as advance:
                BulkChange(opened, report, states, now_ms, advance).named(ids)
        else:
            which = replace(which, event_id=of_event(opened, which.event_id))
            if not (narrowed(which) or given["every"] or given["dry_run"] or given["yes"]):
                _ask(opened, verb, which)
            with shown(report, opened.count(which)) as advance:
                BulkChange(opened, report, which.states, now_ms, advance).found(which)
            if not (report.done or report.skipped):
                tell_of_nothing(opened, "delivery", which, as_json=given["as_json"])
        owner = opened.owner()
    finish(report, owner, by_name=bool(ids), as_json=given["as_json"])


def _ask(store: "OperatorStore", verb: "Verb", which: Filter) -> None:
    from router.cli.tables import counted  # noqa: PLC0415 - as above

    if not sys.stdin.isatty():
        raise click.UsageError(f"say which deliveries to {verb.name}: ids, a filter such as --rule, or --all")
    states = " or ".join(which.states)
    count = store.count(which)
    if count and not click.confirm(f"{verb.name} all {states} deliveries: {counted(count, 'delivery')}?", err=True):
        raise click.Abort


def finish(report: "ChangeReport", owner: int | None, *, by_name: bool, as_json: bool) -> None:
    """Say what was done; the exit code tells of what was named and is not there."""
    from router.cli.change_report import print_report  # noqa: PLC0415 - as above

    print_report(report, by_name=by_name, as_json=as_json, owner=owner)
    if report.missing:
        sys.exit(1)
