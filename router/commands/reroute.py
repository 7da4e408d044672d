"""Plan events again under the rules as they are now, so that a rule that was written or mended later catches them."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.commands.changes import tell_of_others, written
from router.commands.options import loader, now_ms, open_store
from router.commands.progress import progress
from router.commands.status import note, owner
from router.errors import Level, PayloadError
from router.ids import uuid7
from router.intake.payload import parse_event
from router.listing import counted, print_json, safe
from router.model import Event, EventFilter, Filter, PlannedDelivery
from router.rules.ruleset import Ruleset
from router.store.base import PAGE

if TYPE_CHECKING:
    from router.store.sqlite import SqliteStore


@dataclass
class Report:
    """What was planned, and for which events nothing was and why."""

    by_name: bool  #: the events were named one by one, so each that was left alone is worth a line
    planned: list[tuple[str, PlannedDelivery]] = field(default_factory=list)  #: with the event's id
    events: int = 0  #: that got deliveries
    skipped: list[tuple[str, str]] = field(default_factory=list)  #: (event id, why)
    missing: list[str] = field(default_factory=list)  #: named, but not there


def reroute(
    which: Sequence[str] | EventFilter, rules: Path, store: str, *, again: bool, dry_run: bool, as_json: bool
) -> None:
    """Plan them, and say so. Raises StoreError."""
    ruleset = _load(rules)
    report = Report(by_name=not isinstance(which, EventFilter))
    with closing(open_store(store)) as opened:
        total = opened.count_events(which) if isinstance(which, EventFilter) else len(which)
        with progress("planning", total) as advance:
            for event in _events(opened, which, report):
                _plan(opened, ruleset, event, report, again=again, dry_run=dry_run)
                advance(1)
        running = note(opened, "rules")
    _print(report, dry_run=dry_run, as_json=as_json)
    if not as_json and report.planned and not dry_run:
        if owner(store) is None:
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


def _events(store: "SqliteStore", which: Sequence[str] | EventFilter, report: Report) -> Iterator[Event]:
    """The oldest first; what comes in meanwhile is not among them."""
    if isinstance(which, EventFilter):
        newest = store.event_heads(which, limit=1, newest_first=True)
        after, last = 0, newest[0].seq if newest else 0
        while heads := [h for h in store.event_heads(which, limit=PAGE, after=after) if h.seq <= last]:
            for head in heads:
                event = store.event(head.id)
                if event is not None:  # not pruned meanwhile
                    yield event
            after = heads[-1].seq
        return
    # An id begins with its time, so that the ids' order is the events'.
    for event_id in sorted(set(which)):
        event = store.event(event_id)
        if event is None:
            report.missing.append(event_id)
        else:
            yield event


def _plan(store: "SqliteStore", ruleset: Ruleset, event: Event, report: Report, *, again: bool, dry_run: bool) -> None:
    planned = _planned(ruleset, event)
    if isinstance(planned, str):
        report.skipped.append((event.id, planned))
        return
    if not again:
        had = {(d.rule, d.action) for d in store.deliveries(Filter(event_id=event.id), limit=10_000)}
        planned = [p for p in planned if (p.rule, p.action) not in had]
        if not planned:
            report.skipped.append(
                (event.id, "it has every delivery that these rules plan; --again plans them once more")
            )
            return
    now = now_ms()
    planned = [replace(p, id=uuid7(now)) for p in planned]
    if not dry_run and not written(lambda: store.plan_again(event.id, planned, ruleset.text, now)):
        report.skipped.append((event.id, "it was pruned meanwhile"))
        return
    report.events += 1
    report.planned += [(event.id, p) for p in planned]


def _planned(ruleset: Ruleset, event: Event) -> list[PlannedDelivery] | str:
    """What the rules plan for an event, or why they plan nothing."""
    source = ruleset.sources.get(event.source)
    if source is None:
        return f"these rules have no source {event.source}"
    try:
        plan = ruleset.plan(parse_event(event, source))
    except PayloadError as error:
        return f"its payload can't be parsed: {error}"
    if plan.deliveries:
        return list(plan.deliveries)
    if plan.errors:
        rule, reason = plan.errors[0]
        return f"no rule matches; rule {rule} could not be judged: {reason}"
    return "no rule matches"


def _print(report: Report, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "planned": [
                    {
                        "event": event_id,
                        "id": None if dry_run else p.id,
                        "rule": p.rule,
                        "action": p.action,
                        "type": p.type,
                        "target": p.target,
                        "order_key": p.order_key,
                    }
                    for event_id, p in report.planned
                ],
                "skipped": [{"event": event_id, "reason": reason} for event_id, reason in report.skipped],
                "not_found": report.missing,
            }
        )
        return
    for event_id, p in report.planned:
        click.echo(f"{event_id}  {safe(f'{p.rule}/{p.action}')}  {safe(p.target)}")
    tell_of_others("event", report.skipped, report.missing, by_name=report.by_name)
    planned = f"{counted(len(report.planned), 'delivery')} of {counted(report.events, 'event')}"
    click.echo(f"{'would have ' if dry_run else ''}planned {planned}")
