"""`webhook-router store`: checks the store, and backs it up."""

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from router.cli.options import json_option, open_store, store_location, store_option

_CHECK_HELP = """Check that the store is sound; change nothing.

\b
Examples:
  webhook-router store check
  webhook-router store check --store sqlite:copy.db --json

You can run it beside the daemon. It reads the whole store: with some millions of events that takes minutes.
Exit codes: 0 sound, 1 a check failed or there is no store, 2 wrong usage.
"""

_BACKUP_HELP = """Copy the store, as of one moment, to FILE. The daemon may run meanwhile.

\b
Examples:
  webhook-router store backup /backups/webhook-router-$(date +%F).db
  webhook-router serve --store sqlite:restored.db           (after copying a backup there)

FILE must not exist yet. It holds every event, so only its owner can read it.
Exit codes: 0 done, 1 the copy could not be made, 2 wrong usage.
"""


_COPY_HELP = """Copy the store FROM into the new store TO, while no daemon runs on either.

\b
Examples:
  webhook-router store copy sqlite:webhook-router.db postgresql://router@db/hooks
  webhook-router store copy postgresql://router@db/hooks sqlite:webhook-router.db

All is copied: events, deliveries with their attempts and what they wait for, dedupe keys, pauses, the rules' texts.
FROM stays as it is. TO must not exist yet, or be a database without events; when the copy fails, nothing is left of it.
Exit codes: 0 done, 1 the copy could not be made, 2 wrong usage, 3 a database can't be used.
"""


@click.group()
def store() -> None:
    """Check the store, back it up, and copy it.

    \b
    webhook-router store check                        look for damage
    webhook-router store backup copy.db               copy it, while the daemon runs
    webhook-router store copy FROM TO                 move between SQLite and PostgreSQL
    """


@store.command(help=_CHECK_HELP)
@store_option
@json_option
def check(store: str, *, as_json: bool) -> None:
    """Check the store."""
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.cli.printing.text import safe  # noqa: PLC0415
    from router.cli.progress import progress  # noqa: PLC0415 - `--help` need not wait

    with closing(open_store(store)) as opened, progress("checking, in percent", 100) as advance:
        findings = list(opened.check(_percent(advance)))
    bad = [finding for finding in findings if finding.broken]
    if as_json:
        checks = [
            {
                "name": f.name,
                "ok": not f.broken,
                "broken": f.broken,
                "examples": list(f.examples),
                "cure": f.cure if f.broken else None,
            }
            for f in findings
        ]
        print_json({"ok": not bad, "checks": checks})
    else:
        for finding in findings:
            click.echo(f"{'-' if finding.broken else '+'} {finding.name}")
            if finding.broken:
                more = (
                    f" and {finding.broken - len(finding.examples):,} more"
                    if finding.broken > len(finding.examples)
                    else ""
                )
                click.echo(f"    violated by: {', '.join(safe(example) for example in finding.examples)}{more}")
                click.echo(f"    cure: {finding.cure}")
        click.echo("the store is sound" if not bad else f"{len(bad)} of {len(findings)} checks of the store failed")
    if bad:
        sys.exit(1)


@store.command(help=_BACKUP_HELP)
@click.argument("file", type=click.Path(path_type=Path))
@store_option
def backup(file: Path, store: str) -> None:
    """Copy the store."""
    from router.cli.printing.text import safe, size  # noqa: PLC0415 - `--help` need not wait
    from router.cli.progress import progress  # noqa: PLC0415

    with closing(open_store(store)) as opened, progress("copying, in percent", 100) as advance:
        written = opened.backup(file, _percent(advance))
    click.echo(f"{safe(str(file))}: {size(written)}")


@store.command(help=_COPY_HELP)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy the store into another one."""
    from router.cli.progress import progress  # noqa: PLC0415 - `--help` need not wait
    from router.store.copying.copy import copy_store  # noqa: PLC0415

    reading, writing = store_location(source), store_location(target)
    with progress("copying, in percent", 100) as advance:
        copied = copy_store(reading, writing, _percent(advance))
    what = f"{copied.events:,} events, {copied.deliveries:,} deliveries, {copied.pending:,} of them pending"
    click.echo(f"copied {what}; now start the daemon with --store {_shown(target, writing)}")


def _shown(text: str, location: object) -> str:
    """The store as the user wrote it, without the password of a URL."""
    from router.cli.printing.text import safe  # noqa: PLC0415

    return safe(text if isinstance(location, Path) else str(location))


def _percent(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """A function that takes the work done and the total, and moves a progress bar of 100 steps."""
    seen = 0

    def progressed(done: int, of: int) -> None:
        nonlocal seen
        percent = 100 * done // max(1, of)
        advance(percent - seen)
        seen = percent

    return progressed
