"""`webhook-router deliveries`: list, show, replay and cancel deliveries."""

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from router.cli.failure import fail
from router.cli.options import filter_of, filter_options, json_option, now_ms, open_store, store_option
from router.cli.resolve import resolve_event, resolve_id
from router.cli.search_flags import SearchFlags, print_more, print_scanned, search, search_options
from router.domain.deliveries import State

if TYPE_CHECKING:
    from router.domain.deliveries import Delivery
    from router.store.contract import OperatorStore

_LIST_HELP = """List deliveries, the newest first.

\b
Examples:
  webhook-router deliveries list --state dead --since 2h
  webhook-router deliveries list --rule deploy-main --json | jq -r '.[].id'
  webhook-router deliveries list --event last
  webhook-router deliveries list --rule deploy-main --where '$.repository.full_name: acme/api'

Exit codes: 0 done, 1 the store can't be read, 2 wrong usage.
"""

_SHOW_HELP = """Show a delivery with every attempt.

\b
Examples:
  webhook-router deliveries show 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b
  webhook-router deliveries show 0190a1b2-c3        (a beginning is enough if it fits one delivery only)
  webhook-router deliveries show last

Exit codes: 0 done, 1 there is no such delivery or no store, 2 wrong usage.
"""

_REPLAY_HELP = """Deliver again: the deliveries with these IDs, or all that match a filter, the oldest first.

\b
Examples:
  webhook-router deliveries replay 0190…
  webhook-router deliveries replay --rule deploy-main --since 2h --dry-run
  webhook-router deliveries replay --target ci --state pending      (try them now)
  webhook-router deliveries replay --all

A dead or cancelled delivery starts over, with all its tries. A pending one is just tried at once. A succeeded one is
delivered again only with --state succeeded, a skipped one only with --state skipped. latest_by and once_by do
not apply to a replayed delivery. A running daemon begins within a second.
Exit codes: 0 done, 1 one of the IDs does not exist or there is no store, 2 wrong usage.
"""

_CANCEL_HELP = """Give up deliveries: those with these IDs, or all that match a filter.

\b
Examples:
  webhook-router deliveries cancel 0190…
  webhook-router deliveries cancel --rule deploy-main --dry-run
  webhook-router deliveries cancel --rule deploy-main --state pending --state dead

A filter matches pending deliveries, unless you give --state. A running attempt is not stopped, but its outcome is no
longer recorded. `deliveries replay` delivers a cancelled one after all.
Exit codes: 0 done, 1 one of the IDs does not exist or there is no store, 2 wrong usage.
"""


@click.group()
def deliveries() -> None:
    """List, show, replay and cancel deliveries.

    \b
    webhook-router deliveries list --state dead       what failed for good
    webhook-router deliveries show 0190…              why it failed
    webhook-router deliveries replay --since 2h       deliver it again
    """


@deliveries.command(name="list", help=_LIST_HELP)
@filter_options(list(State), "any")
@search_options
@store_option
@json_option
def list_(
    states: tuple[str, ...],
    provider_id: str | None,
    store: str,
    *,
    as_json: bool,
    **given: Any,
) -> None:
    """List deliveries."""
    from router.cli.printing.deliveries import print_deliveries  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.operate.queries import of_provider  # noqa: PLC0415
    from router.operate.search import find_deliveries  # noqa: PLC0415
    from router.operate.serialize import delivery_json  # noqa: PLC0415
    from router.operate.status import waits_of  # noqa: PLC0415

    flags = SearchFlags(**{name: given.pop(name) for name in SearchFlags.NAMES})
    with closing(open_store(store)) as opened:
        which = filter_of(states, {**given, "event": resolve_event(opened, given["event"])})
        if provider_id is not None:
            which = of_provider(opened, which, provider_id)
        result = search(opened, "delivery", which, find_deliveries, flags, as_json=as_json)
        waits = waits_of(opened, opened.owner())
    if result.scanned_to is not None:
        print_scanned(result.scanned, "delivery", result.scanned_to.created_at)
    listed, now = result.items[: flags.limit], now_ms()
    if as_json:
        print_json([delivery_json(delivery, waits, now) for delivery in listed])
    elif listed:
        print_deliveries(listed, now, waits)
        print_more(result.items, flags.limit)


@deliveries.command(help=_SHOW_HELP)
@click.argument("delivery_id", metavar="ID")
@store_option
@json_option
def show(delivery_id: str, store: str, *, as_json: bool) -> None:
    """Show one delivery."""
    from router.cli.printing.deliveries import print_delivery  # noqa: PLC0415 - as above
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.operate.ids import find_delivery  # noqa: PLC0415
    from router.operate.serialize import attempt_json, delivery_json  # noqa: PLC0415
    from router.operate.status import waits_of  # noqa: PLC0415

    with closing(open_store(store)) as opened:
        delivery_id = resolve_id(opened, delivery_id, find_delivery)
        found = opened.delivery(delivery_id)
        attempts = opened.attempts(delivery_id)
        waits = waits_of(opened, opened.owner())
        next_hash = _next_ruleset(opened, found) if found is not None else None
    if found is None:
        fail(f"the delivery {delivery_id} was pruned in the meantime")
    if as_json:
        content = {**delivery_json(found, waits, now_ms()), "next_ruleset": next_hash}
        print_json({**content, "attempts_made": [attempt_json(a) for a in attempts]})
    else:
        print_delivery(found, attempts, now_ms(), waits, next_hash)


def _next_ruleset(store: "OperatorStore", found: "Delivery") -> str | None:
    """The hash of the rules that the next attempt uses: the daemon's, as the store has recorded them."""
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
        ("--yes", "Don't ask for confirmation. The command asks if it gets no IDs, no filter and no --all."),
        ("--all", "All deliveries in the --state. For use without IDs and filter."),
        ("--dry-run", "Print what would be done, and change nothing."),
    ):
        name = flag.removeprefix("--").replace("-", "_")
        command = click.option(flag, "every" if name == "all" else name, is_flag=True, help=text)(command)
    return json_option(store_option(command))


@deliveries.command(help=_REPLAY_HELP)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@filter_options(
    [State.PENDING, State.SUCCEEDED, State.DEAD, State.CANCELLED, State.SKIPPED],
    "dead; with IDs, any but succeeded and skipped",
)
@_change_options
def replay(ids: tuple[str, ...], states: tuple[str, ...], store: str, **given: Any) -> None:
    """Deliver again."""
    from router.cli.change_deliveries import change_deliveries  # noqa: PLC0415 - `--help` need not wait
    from router.operate.delivery_operation import REPLAY  # noqa: PLC0415

    change_deliveries(REPLAY, ids, states, store, given)


@deliveries.command(help=_CANCEL_HELP)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@filter_options([State.PENDING, State.RUNNING, State.DEAD], "pending; with IDs, any")
@_change_options
def cancel(ids: tuple[str, ...], states: tuple[str, ...], store: str, **given: Any) -> None:
    """Give up."""
    from router.cli.change_deliveries import change_deliveries  # noqa: PLC0415 - `--help` need not wait
    from router.operate.delivery_operation import CANCEL  # noqa: PLC0415

    change_deliveries(CANCEL, ids, states, store, given)
