"""`webhook-router plan`: shows what changed rules would do with the stored events."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.failure import fail, ruleset_of
from router.cli.options import (
    json_option,
    loader,
    now_ms,
    open_store,
    rules_argument,
    running_ruleset,
    store_option,
    time_value,
)
from router.domain.filters import EventFilter

if TYPE_CHECKING:
    from router.operate.plan.report import PlanReport
    from router.rules.ruleset import Ruleset
    from router.store.contract import OperatorStore

_HELP = """Show what NEW, a changed rules file, would do to recent events. Nothing is executed or sent.

\b
Examples:
  webhook-router plan rules.new.yaml
  webhook-router plan rules.new.yaml --since 7d --source github
  webhook-router plan rules.new.yaml --against then            (the rules by which each event was routed)
  webhook-router plan rules.new.yaml --against rules.yaml
  webhook-router plan rules.new.yaml --format markdown > comment.md
  webhook-router plan rules.new.yaml --expect-same             (after a change that should change nothing)

Each stored event is routed by the rules that run and by NEW. The plan says which deliveries come, go, change or move to
another rule, and which would be dead at once. It does not cover verification, paths, dedupe and skips: docs/plan.md.

Exit codes: 0 done, 1 a file is invalid, the store can't be read, or something differs (--expect-same), 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Show what changed rules would do to past events.")
@rules_argument("[NEW]")
@click.option(
    "--since",
    callback=time_value,
    metavar="TIME",
    default="24h",
    show_default=True,
    help="Events from this time on: 24h (ago), or an ISO 8601 time.",
)
@click.option("--until", callback=time_value, metavar="TIME", help="Events before this time.")
@click.option("--source", metavar="SOURCE", help="Only events from this source.")
@click.option(
    "--against",
    metavar="running|then|FILE",
    default="running",
    show_default=True,
    help="The rules to compare with: running, then (the rules that routed each event), or a rules file.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    show_default=True,
    help="markdown: for a comment on a pull request, with ids and no payload.",
)
@click.option(
    "--expect-same", is_flag=True, help="Exit with 1 if the deliveries differ. A move to another rule does not count."
)
@click.option(
    "--sample",
    "samples",
    type=click.IntRange(0, 100),
    default=3,
    show_default=True,
    help="Events to name for each change.",
)
@store_option
@json_option
def plan(
    rules: Path,
    since: int | None,
    until: int | None,
    source: str | None,
    against: str,
    form: str,
    samples: int,
    store: str,
    *,
    expect_same: bool,
    as_json: bool,
) -> None:
    """Show what changed rules would do."""
    from router.cli.printing.plan import print_markdown, print_plan  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.cli.progress import progress  # noqa: PLC0415
    from router.cli.resolve import print_unknown_names  # noqa: PLC0415
    from router.operate.plan.report import PlanReport  # noqa: PLC0415
    from router.operate.plan.run import Plan  # noqa: PLC0415

    after = ruleset_of(rules)
    before = ruleset_of(Path(against)) if against not in ("running", "then") else None
    which = EventFilter(source, since, until)
    report = PlanReport(samples)
    with closing(open_store(store)) as opened:
        if against == "running":
            before = _running(opened)
        recorded = loader(require_secrets=False)
        with progress("planning", opened.count_events(which)) as advance:
            Plan(opened, after, report, before, lambda text: recorded.load_recorded(text).ruleset, advance).run(which)
        if not report.events and not report.not_compared:
            print_unknown_names(opened, which)
    facts = _facts(rules, after, against, before, since=since, until=until)
    if as_json or form == "json":
        print_json({**facts, **report.as_json()})
    elif form == "markdown":
        print_markdown(facts, report)
    else:
        print_plan(facts, report)
    if expect_same:
        _expect_same(report)


def _facts(
    rules: Path,
    after: "Ruleset",
    against: str,
    before: "Ruleset | None",
    *,
    since: int | None,
    until: int | None,
) -> dict[str, Any]:
    """Which rules are compared, and over which time."""
    from router.operate.json_times import times  # noqa: PLC0415 - `--help` need not wait
    from router.operate.plan.report import VERSION  # noqa: PLC0415

    kind = against if against in ("running", "then") else "file"
    return {
        "version": VERSION,
        "new": {"file": str(rules), "hash": after.hash},
        "against": {"rules": kind, "hash": before.hash if before is not None else None},
        **times(since=since, until=until or now_ms()),
    }


def _running(store: "OperatorStore") -> "Ruleset":
    return running_ruleset(store) or fail(
        "the store has no recorded rules that still compile; name the rules to compare with: --against FILE"
    )


def _expect_same(report: "PlanReport") -> None:
    if report.differs:
        fail("the new rules give a different result")
    if report.not_compared:
        fail("not all events could be compared, so some may differ")
