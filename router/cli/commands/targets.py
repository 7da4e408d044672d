"""`webhook-router targets`: lists, pauses and resumes targets."""

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from router.cli.options import json_option, now_ms, open_store, running_ruleset, store_option

if TYPE_CHECKING:
    from router.operate.pausing import TargetList
    from router.store.contract import OperatorStore

_LIST_HELP = """List targets: what waits at each, what pauses it, its breaker.

\b
Examples:
  webhook-router targets list
  webhook-router targets list --json | jq -r '.[] | select(.paused != []) | .target'

An action without a named target goes to the origin of its url, or is its own target: RULE/ACTION.
Exit codes: 0 done, 1 the store can't be read, 2 wrong usage.
"""

_PAUSE_HELP = """Pause targets: their deliveries are held until `targets resume`, or for a time.

\b
Examples:
  webhook-router targets pause ci
  webhook-router targets pause ci billing --for 2h
  webhook-router targets pause deploy-main/command      (an action that is its own target)

Events are still taken. Running attempts finish. Held deliveries use no attempts, and the time of their give_up_after
stops. A pause is kept in the store: it outlives restarts. A running daemon follows within a second. For a target that
is paused already, --for replaces the end. `paused: true` in the rules file does the same as long as it stands there.
Exit codes: 0 done, 1 there is no such target or no store, 2 wrong usage.
"""

_RESUME_HELP = """Resume targets that `targets pause` has paused.

\b
Examples:
  webhook-router targets resume ci
  webhook-router targets resume ci billing

Deliveries that are due start at once, within the target's rate and concurrency. What the rules file pauses stays
paused. Exit codes: 0 done, 1 there is no such target or no store, or the rules file pauses it, 2 wrong usage.
"""


@click.group()
def targets() -> None:
    """List, pause and resume targets.

    \b
    webhook-router targets list                       what waits where
    webhook-router targets pause ci --for 2h          hold its deliveries
    webhook-router targets resume ci                  let them go
    """


@targets.command(name="list", help=_LIST_HELP)
@store_option
@json_option
def list_(store: str, *, as_json: bool) -> None:
    """List targets."""
    from router.cli.printing.table import print_json  # noqa: PLC0415 - `--help` need not wait
    from router.operate.pausing import read_targets  # noqa: PLC0415

    now = now_ms()
    with closing(open_store(store)) as opened:
        found = read_targets(opened, running_ruleset(opened), opened.owner(), now)
    if as_json:
        print_json([found.json(name, now) for name in found.names])
    elif found.names:
        _print(found, now)
    else:
        click.echo("no rules ran on this store, and nothing waits in it", err=True)


@targets.command(help=_PAUSE_HELP)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--for", "duration", metavar="DURATION", help="Resume by itself after this time, such as 2h.")
@store_option
@json_option
def pause(names: tuple[str, ...], duration: str | None, store: str, *, as_json: bool) -> None:
    """Pause targets."""
    from router.operate.pausing import pause  # noqa: PLC0415 - `--help` need not wait

    now = now_ms()
    until = None if duration is None else now + _milliseconds(duration)
    with closing(open_store(store)) as opened:
        _check_known(opened, names, now)
        for name in names:
            pause(opened, name, until, now)
        _report(opened, names, now, as_json=as_json)


@targets.command(help=_RESUME_HELP)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@store_option
@json_option
def resume(names: tuple[str, ...], store: str, *, as_json: bool) -> None:
    """Resume targets."""
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.pausing import PausedByFile, resume  # noqa: PLC0415

    now, failed = now_ms(), False
    with closing(open_store(store)) as opened:
        _check_known(opened, names, now)
        for name in names:
            try:
                if not resume(opened, name, now):
                    click.echo(f"target {safe(name)} was not paused", err=True)
            except PausedByFile as error:
                click.echo(f"webhook-router: {safe(str(error))}", err=True)
                failed = True
        _report(opened, names, now, as_json=as_json)
    if failed:
        sys.exit(1)


def _milliseconds(duration: str) -> int:
    from router.domain.units import seconds  # noqa: PLC0415 - as above

    try:
        return max(1, round(seconds(duration) * 1000))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None


def _check_known(store: "OperatorStore", names: tuple[str, ...], now: int) -> None:
    from router.cli.printing.text import safe  # noqa: PLC0415 - as above
    from router.operate.pausing import UnknownTarget, check_known, read_targets  # noqa: PLC0415

    ruleset = running_ruleset(store)
    try:
        check_known(read_targets(store, ruleset, None, now), ruleset, names)
    except UnknownTarget as error:
        click.echo(f"webhook-router: {safe(str(error))}", err=True)
        sys.exit(1)


def _report(store: "OperatorStore", names: tuple[str, ...], now: int, *, as_json: bool) -> None:
    from router.cli.printing.table import print_json  # noqa: PLC0415 - as above
    from router.cli.printing.text import counted, safe, span  # noqa: PLC0415
    from router.operate.pausing import paused_json  # noqa: PLC0415

    reports = [paused_json(store, name, now) for name in names]
    if as_json:
        print_json(reports)
        return
    for report in reports:
        words = "continues"
        if report["paused"]:
            by = " and ".join(_cause(one, now, span) for one in report["paused"])
            words = f"paused {by}; holds {counted(report['held'], 'delivery')}"
        click.echo(f"{safe(report['target'])}: {words}")


def _cause(paused: dict[str, Any], now: int, span: Any) -> str:
    if paused["cause"] == "file":
        return "by the rules file"
    return "until resumed" if paused["until_ms"] is None else f"for {span(paused['until_ms'] - now)}"


def _print(found: "TargetList", now: int) -> None:
    from router.cli.printing.deliveries import wait_words  # noqa: PLC0415 - as above
    from router.cli.printing.table import print_table  # noqa: PLC0415
    from router.cli.printing.text import safe, span  # noqa: PLC0415
    from router.operate.held import pauses_json  # noqa: PLC0415

    rows = []
    for name in found.names:
        d, breaker = found.depth(name), found.breakers.get(name)
        paused = " and ".join(_cause(one, now, span) for one in pauses_json(name, found.waits.holds, now)) or "-"
        counts = [f"{number:,}" for number in (d.due, d.blocked, d.held, d.running, d.dead)]
        oldest = span(now - d.oldest_at) if d.oldest_at is not None else "-"
        waiting = found.waits.at_depth(d, now)
        state = str(breaker.get("state", "?")) if isinstance(breaker, dict) else "-"
        waits_for = wait_words(waiting, now) if waiting else "-"
        rows.append((safe(name), paused, *counts, oldest, waits_for, safe(state)))
    headings = ("target", "paused", "due", "blocked", "held", "running", "dead", "oldest", "waits for", "breaker")
    print_table(headings, rows, folding=("target", "paused"))
