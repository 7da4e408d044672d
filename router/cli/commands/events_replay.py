"""`webhook-router events replay`: deliver events again."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from router.cli.options import json_option, now_ms, open_store, store_option, time_options
from router.cli.resolve import resolve_ids
from router.domain.deliveries import State
from router.domain.filters import EventFilter

_HELP = """Deliver events again. With --reroute: apply the current rules to them again.

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


@click.command(help=_HELP)
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
