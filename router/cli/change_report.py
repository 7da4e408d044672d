"""Replay and cancel as a person sees them: how far they are, and what was left alone and why."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from router.cli.progress import progress
from router.cli.tables import counted, print_json, safe
from router.operate.bulk_change import REPLAY, ChangeReport


@contextmanager
def shown(report: ChangeReport, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar; when it ends early, how far it came."""
    with progress(report.verb.doing, total) as advance:
        try:
            yield advance
        except BaseException:
            if report.done and not report.dry_run:
                click.echo(f"stopped; so far {report.verb.past} {counted(len(report.done), 'delivery')}", err=True)
            raise


def print_report(report: ChangeReport, *, by_name: bool, as_json: bool, owner: int | None) -> None:
    """For people, or for programs; by name: each that was left alone is worth a line."""
    if as_json:
        print_json(report.as_json())
        return
    if report.dry_run:
        for d in report.done:
            click.echo(f"{d.id}  {d.state.value:9}  {safe(f'{d.rule}/{d.action}')}  {safe(d.target)}")
    past = report.verb.past
    click.echo(f"{'would have ' if report.dry_run else ''}{past} {counted(len(report.done), 'delivery')}")
    tell_of_others("delivery", report.skipped, report.missing, by_name=by_name)
    if report.done and report.verb is REPLAY and not report.dry_run and owner is None:
        click.echo("no daemon runs on this store: they are delivered once one starts", err=True)


def tell_of_others(noun: str, skipped: Sequence[tuple[str, str]], missing: Sequence[str], *, by_name: bool) -> None:
    """What was left alone, one by one or how many by reason, and what is not there."""
    if by_name:
        for id_, reason in skipped:
            click.echo(f"left alone {id_}: {safe(reason)}", err=True)
    else:
        for reason, count in Counter(reason for _, reason in skipped).items():
            click.echo(f"left alone {counted(count, noun)}: {safe(reason)}", err=True)
    for id_ in missing:
        click.echo(f"not found: {safe(id_)}", err=True)
