"""Flags that search events by headers, payload and the provider's id."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from router.cli.options import running_ruleset
from router.cli.request_flags import header_of

if TYPE_CHECKING:
    from router.operate.search import EventTest
    from router.store.contract import OperatorStore

Command = TypeVar("Command", bound=Callable[..., Any])

SCANNED = 20_000  #: the default of --scan: some 3 seconds


def search_options(command: Command) -> Command:
    """Add the flags `--header`, `--where`, `--provider-id` and `--scan`."""
    for option in (
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


def asked_words(headers: Sequence[str], where: Sequence[str]) -> list[str]:
    """The conditions of the flags, in words for a message."""
    return [*(f"header {header}" for header in headers), *(f"where {one}" for one in where)]


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
