"""Finds the ids and names that an operator wrote, and prints a message when the store does not have them."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from router.domain.filters import EventFilter, Filter

if TYPE_CHECKING:
    from router.operate.follow import StreamFilter
    from router.operate.ids import ResolvedId
    from router.store.contract import OperatorStore

Find = Callable[["OperatorStore", str], "ResolvedId"]


def resolve_id(store: "OperatorStore", text: str, find: Find) -> str:
    """The id that the text names. Ends the command with exit code 1 if there is none. Raises StoreError."""
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.ids import NoSuchId  # noqa: PLC0415

    try:
        found = find(store, text)
    except NoSuchId as error:
        click.echo(f"webhook-router: {safe(str(error))}", err=True)
        sys.exit(1)
    if found.note:
        click.echo(safe(found.note), err=True)
    return found.id


def resolve_ids(store: "OperatorStore", texts: Sequence[str], find: Find) -> list[str]:
    """The ids that the texts name. Raises StoreError.

    A text that names nothing is returned unchanged, and the command's report lists it as not found. An ambiguous one,
    or the id of the other kind, also gets a message here.
    """
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait
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


def resolve_event(store: "OperatorStore", text: str | None) -> str | None:
    """The event's id that a filter names. A text that names none gets a message and is returned unchanged."""
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.ids import NoSuchId, find_event  # noqa: PLC0415

    if text is None:
        return None
    try:
        found = find_event(store, text)
    except NoSuchId as error:
        click.echo(safe(str(error)), err=True)
        return text
    if found.note:
        click.echo(safe(found.note), err=True)
    return found.id


def print_no_match(
    store: "OperatorStore", noun: str, which: Filter | EventFilter, *, as_json: bool, searched: Sequence[str] = ()
) -> None:
    """Say that nothing matched the filter, and which of its names are unknown. Raises StoreError.

    `searched` has further conditions in words. With `as_json` only the unknown names are printed, since a program knows
    its filter.
    """
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.known_names import describe_filter  # noqa: PLC0415

    wanted = ", ".join(part for part in (describe_filter(which), *searched) if part)
    if not as_json:
        click.echo(f"no such {noun}: looked for {safe(wanted)}" if wanted else f"the store has no {noun} yet", err=True)
    print_unknown_names(store, which)


def print_unknown_names(store: "OperatorStore", which: "Filter | EventFilter | StreamFilter") -> None:
    """Print a message for each name in the filter that the store does not know. Raises StoreError."""
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.known_names import known_names  # noqa: PLC0415

    if not any(getattr(which, word, None) is not None for word in ("rule", "action", "target", "source")):
        return
    for message in known_names(store).unknown(which):
        click.echo(safe(message), err=True)
