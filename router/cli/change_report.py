"""Shows the progress and the result of a replay or cancel."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from router.cli.printing.table import print_json
from router.cli.printing.text import counted, safe
from router.cli.progress import progress
from router.operate.bulk_change import ChangeReport
from router.operate.delivery_operation import REPLAY

NO_DAEMON = "no daemon runs on this store; the deliveries begin when one starts"


@contextmanager
def change_progress(report: ChangeReport, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar. If the change is interrupted, prints how many deliveries were changed."""
    with progress(report.operation.doing, total) as advance:
        try:
            yield advance
        except BaseException:
            if report.done and not report.dry_run:
                so_far = f"{report.operation.past} {counted(len(report.done), 'delivery')}"
                click.echo(f"stopped; so far {so_far}", err=True)
            raise


def print_report(report: ChangeReport, *, by_id: bool, as_json: bool, owner: int | None) -> None:
    """Print what was changed and what was not. `owner` is the daemon's process id, None when no daemon runs."""
    if as_json:
        print_json(report.as_json())
        return
    if report.dry_run:
        for d in report.done:
            click.echo(f"{d.id}  {d.state.value:9}  {safe(f'{d.rule}/{d.action}')}  {safe(d.target)}")
    past = report.operation.past
    click.echo(f"{'would have ' if report.dry_run else ''}{past} {counted(len(report.done), 'delivery')}")
    print_skipped("delivery", report.skipped, report.missing, by_id=by_id)
    if report.done and report.operation is REPLAY and not report.dry_run and owner is None:
        click.echo(NO_DAEMON, err=True)


def print_skipped(noun: str, skipped: Sequence[tuple[str, str]], missing: Sequence[str], *, by_id: bool) -> None:
    """Print what was left alone: a line for each id, or one for each reason. Then the ids that were not found."""
    if by_id:
        for id_, reason in skipped:
            click.echo(f"left alone {id_}: {safe(reason)}", err=True)
    else:
        for reason, count in Counter(reason for _, reason in skipped).items():
            click.echo(f"left alone {counted(count, noun)}: {safe(reason)}", err=True)
    for id_ in missing:
        click.echo(f"not found: {safe(id_)}", err=True)
