"""`webhook-router events replay --reroute`: plans events again under the current rules."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from router.cli.change_report import NO_DAEMON, print_skipped
from router.cli.options import loader, now_ms, open_store
from router.cli.printing.table import print_json
from router.cli.printing.text import counted, safe
from router.cli.progress import progress
from router.cli.resolve import print_no_match, resolve_ids
from router.domain.errors import Level
from router.domain.filters import EventFilter
from router.operate.ids import find_event_strict
from router.operate.reroute import Reroute, RerouteReport
from router.operate.status import note
from router.rules.ruleset import Ruleset


def reroute(
    which: Sequence[str] | EventFilter, rules: Path, store: str, *, again: bool, dry_run: bool, as_json: bool
) -> None:
    """Plan the events with these ids, or those that match the filter; print the result. Raises StoreError."""
    ruleset = _load(rules)
    report = RerouteReport(dry_run)
    with closing(open_store(store)) as opened:
        if not isinstance(which, EventFilter):
            which = resolve_ids(opened, which, find_event_strict)
        total = opened.count_events(which) if isinstance(which, EventFilter) else len(which)
        with progress("planning", total) as advance:
            work = Reroute(opened, ruleset, report, now_ms, again, advance)
            if isinstance(which, EventFilter):
                work.by_filter(which)
                if not (report.events or report.skipped):
                    print_no_match(opened, "event", which, as_json=as_json)
            else:
                work.by_ids(which)
        running = note(opened, "rules")
        owner = opened.owner()
    if as_json:
        print_json(report.as_json())
    else:
        _print(report, by_id=not isinstance(which, EventFilter))
    if not as_json and report.planned and not dry_run:
        if owner is None:
            click.echo(NO_DAEMON, err=True)
        elif running.get("hash") not in (None, ruleset.hash):
            click.echo(
                "the daemon runs other rules; actions that it does not know run by the rules given here",
                err=True,
            )
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


def _print(report: RerouteReport, *, by_id: bool) -> None:
    for event_id, p in report.planned:
        click.echo(f"{event_id}  {safe(f'{p.rule}/{p.action}')}  {safe(p.target)}")
    print_skipped("event", report.skipped, report.missing, by_id=by_id)
    planned = f"{counted(len(report.planned), 'delivery')} of {counted(report.events, 'event')}"
    click.echo(f"{'would have ' if report.dry_run else ''}planned {planned}")
