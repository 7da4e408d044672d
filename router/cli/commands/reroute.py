"""`webhook-router events replay --reroute`: plans events again, and says what was planned."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from router.cli.change_report import tell_of_others
from router.cli.named import each_one, tell_of_nothing
from router.cli.options import loader, now_ms, open_store
from router.cli.progress import progress
from router.cli.tables import counted, print_json, safe
from router.domain.errors import Level
from router.domain.filters import EventFilter
from router.operate.ids import event_alone
from router.operate.reroute import Reroute, RerouteReport
from router.operate.status import note
from router.rules.ruleset import Ruleset


def reroute(
    which: Sequence[str] | EventFilter, rules: Path, store: str, *, again: bool, dry_run: bool, as_json: bool
) -> None:
    """Plan them, and say so. Raises StoreError."""
    ruleset = _load(rules)
    report = RerouteReport(dry_run)
    with closing(open_store(store)) as opened:
        if not isinstance(which, EventFilter):
            which = each_one(opened, which, event_alone)
        total = opened.count_events(which) if isinstance(which, EventFilter) else len(which)
        with progress("planning", total) as advance:
            work = Reroute(opened, ruleset, report, now_ms, again, advance)
            if isinstance(which, EventFilter):
                work.found(which)
                if not (report.events or report.skipped):
                    tell_of_nothing(opened, "event", which, as_json=as_json)
            else:
                work.named(which)
        running, owner = note(opened, "rules"), opened.owner()
    if as_json:
        print_json(report.as_json())
    else:
        _print(report, by_name=not isinstance(which, EventFilter))
    if not as_json and report.planned and not dry_run:
        if owner is None:
            click.echo("no daemon runs on this store: they are delivered once one starts", err=True)
        elif running.get("hash") not in (None, ruleset.hash):
            click.echo("the daemon runs other rules; what it does not know of follows the rules given here", err=True)
    if report.missing:
        sys.exit(1)


def _load(rules: Path) -> Ruleset:
    loaded = loader(require_secrets=False).load_file(rules)
    if loaded.ruleset is None:
        for problem in loaded.problems:
            if problem.level is Level.ERROR:
                click.echo(str(problem), err=True)
        sys.exit(1)
    return loaded.ruleset


def _print(report: RerouteReport, *, by_name: bool) -> None:
    for event_id, p in report.planned:
        click.echo(f"{event_id}  {safe(f'{p.rule}/{p.action}')}  {safe(p.target)}")
    tell_of_others("event", report.skipped, report.missing, by_name=by_name)
    planned = f"{counted(len(report.planned), 'delivery')} of {counted(report.events, 'event')}"
    click.echo(f"{'would have ' if report.dry_run else ''}planned {planned}")
