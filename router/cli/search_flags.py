"""Flags that search events by headers, payload and the provider's id."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from router.cli.options import running_ruleset
from router.cli.request_flags import header_of
from router.cli.resolve import print_no_match
from router.domain.filters import EventFilter, Filter

if TYPE_CHECKING:
    from router.operate.search import Bounds, EventTest, Found
    from router.store.contract import OperatorStore

Command = TypeVar("Command", bound=Callable[..., Any])

Filtered = TypeVar("Filtered", EventFilter, Filter)
Row = TypeVar("Row")

SCANNED = 20_000  #: the default of --scan: some 3 seconds


def search_options(command: Command) -> Command:
    """Add the flags `--header`, `--where`, `--provider-id`, `--scan` and `--limit`."""
    for option in (
        click.option(
            "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="List at most this many."
        ),
        click.option(
            "--scan",
            type=click.IntRange(1, 100_000_000),
            default=SCANNED,
            show_default=True,
            help="With --header or --where: look at no more than this many.",
        ),
        click.option(
            "--provider-id",
            metavar="ID",
            help="Only the event with this id of its provider, the id that dedupe compares.",
        ),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="Only if the event has this header; repeatable.",
        ),
        click.option(
            "--where",
            multiple=True,
            metavar="CONDITION",
            help="Only if the event matches, as in match: '$.repository.full_name: acme/api'; repeatable.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class SearchFlags:
    """The values of these flags, but for `--provider-id`."""

    NAMES: ClassVar = ("headers", "where", "scan", "limit")

    headers: tuple[str, ...]
    where: tuple[str, ...]
    scan: int
    limit: int

    def words(self) -> list[str]:
        """The conditions, for a message."""
        return [*(f"header {header}" for header in self.headers), *(f"where {one}" for one in self.where)]


def search(
    store: "OperatorStore",
    noun: str,
    which: Filtered,
    find: "Callable[[OperatorStore, Filtered, EventTest, int, Bounds], Found[Row]]",
    flags: SearchFlags,
    *,
    as_json: bool,
) -> "Found[Row]":
    """Find rows, one more than `--limit`. Print a message if there is none. Raises UsageError, StoreError."""
    from router.cli.progress import progress  # noqa: PLC0415 - `--help` need not wait
    from router.operate.search import Bounds  # noqa: PLC0415

    test = event_test(store, flags.headers, flags.where)
    with progress("looking", flags.scan) if test else nullcontext(lambda _: None) as advance:
        found = find(store, which, test, flags.limit + 1, Bounds(flags.scan, advance=advance))
    if not found.items:
        print_no_match(store, noun, which, as_json=as_json, searched=flags.words())
    return found


def print_more(found: Sequence[object], limit: int) -> None:
    """Say that `--limit` has cut the list, if it has."""
    if len(found) > limit:
        click.echo(f"there are more than these {limit:,}; --limit shows more", err=True)


def print_scanned(count: int, noun: str, oldest_at: int) -> None:
    """Print how far the search looked, and how to look further. `oldest_at` is the time (ms) of the oldest item."""
    from router.cli.printing.text import counted  # noqa: PLC0415 - `--help` need not wait
    from router.operate.json_times import iso  # noqa: PLC0415

    # One ms later, so that others of the same ms are not left out.
    click.echo(
        f"looked at the newest {counted(count, noun)}; to look further: --until {iso(oldest_at + 1)}, or more --scan",
        err=True,
    )


def event_test(store: "OperatorStore", headers: Sequence[str], where: Sequence[str]) -> "EventTest":
    """The test that the flags describe. Raises UsageError, StoreError."""
    from router.operate.search import EventTest, headers_test, path_names  # noqa: PLC0415 - `--help` need not wait
    from router.rules.compile.where import WhereError, compile_where  # noqa: PLC0415

    asked = headers_test([header_of(header) for header in headers])
    if not where:
        return EventTest(asked)
    running = running_ruleset(store)
    sources = running.sources if running is not None else {}
    try:
        condition = compile_where(where, "--where", path_names(sources))
    except WhereError as error:
        raise click.UsageError(str(error)) from None
    return EventTest(asked, condition, sources)
