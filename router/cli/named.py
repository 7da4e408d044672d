"""Ids and names that an operator wrote: found in the store, or told why not. Words go to standard error."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from router.domain.filters import EventFilter, Filter

if TYPE_CHECKING:
    from router.operate.follow import Which
    from router.operate.ids import Named
    from router.store.contract import OperatorStore

Find = Callable[["OperatorStore", str], "Named"]


def the_one(store: "OperatorStore", text: str, find: Find) -> str:
    """The id of the one that is meant; without it the command ends with exit code 1. Raises StoreError."""
    from router.cli.tables import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.ids import NoSuchId  # noqa: PLC0415

    try:
        found = find(store, text)
    except NoSuchId as error:
        click.echo(f"webhook-router: {safe(str(error))}", err=True)
        sys.exit(1)
    if found.said:
        click.echo(safe(found.said), err=True)
    return found.id


def each_one(store: "OperatorStore", texts: Sequence[str], find: Find) -> list[str]:
    """The ids of those that are meant. What is not there stays as it was written, for the report to say so; what may be
    several, or is of the other kind, is told of. Raises StoreError."""
    from router.cli.tables import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.ids import NoSuchId  # noqa: PLC0415

    ids = []
    for text in texts:
        try:
            ids.append(find(store, text).id)
        except NoSuchId as error:
            if not error.only_missing:
                click.echo(safe(str(error)), err=True)
            ids.append(text)
    return ids


def of_event(store: "OperatorStore", text: str | None) -> str | None:
    """The event that a filter names. What is not there is told of; it stays as it was written, and finds nothing."""
    from router.cli.tables import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.ids import NoSuchId, named_event  # noqa: PLC0415

    if text is None:
        return None
    try:
        found = named_event(store, text)
    except NoSuchId as error:
        click.echo(safe(str(error)), err=True)
        return text
    if found.said:
        click.echo(safe(found.said), err=True)
    return found.id


def tell_of_nothing(store: "OperatorStore", noun: str, which: Filter | EventFilter, *, as_json: bool) -> None:
    """Nothing was found: what was looked for (programs know that), and which of its names nothing has.

    Raises StoreError.
    """
    from router.cli.tables import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.names import in_words  # noqa: PLC0415

    asked = in_words(which)
    if not as_json:
        click.echo(f"no such {noun}{f': looked for {safe(asked)}' if asked else ''}", err=True)
    tell_of_unknown(store, which)


def tell_of_unknown(store: "OperatorStore", which: "Filter | EventFilter | Which") -> None:
    """The names in a filter that nothing has. Raises StoreError."""
    from router.cli.tables import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.names import names  # noqa: PLC0415

    if not any(getattr(which, word, None) is not None for word in ("rule", "action", "target", "source")):
        return
    for complaint in names(store).complaints(which):
        click.echo(safe(complaint), err=True)
