"""Flags that several commands share, and what they mean."""

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from router.domain.deliveries import State
from router.domain.errors import StartError
from router.domain.filters import Filter
from router.store.location import store_path

if TYPE_CHECKING:
    from router.rules.compile.loader import Loader
    from router.store.contract import OperatorStore

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(flag: str, **given: Any) -> Callable[[Command], Command]:
    """A flag that the environment may give as well: `--listen` as WEBHOOK_ROUTER_LISTEN."""
    name = f"WEBHOOK_ROUTER_{flag.removeprefix('--').replace('-', '_').upper()}"
    return click.option(flag, envvar=name, show_envvar=True, show_default=bool(given.get("default")), **given)


def store_option_for(use: str) -> Callable[[Command], Command]:
    """Which store, and what for."""
    return setting("--store", metavar="sqlite:FILE", default="sqlite:webhook-router.db", help=use)


store_option = store_option_for("Where events and deliveries are kept.")


def json_option(command: Command) -> Command:
    """For programs."""
    return click.option("--json", "as_json", is_flag=True, help="The result as JSON, for programs.")(command)


def moment(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """`2h` (ago), or an ISO 8601 time, local unless it names its zone; in ms."""
    from router.operate.parse_time import parse_time as moment_of  # noqa: PLC0415 - its libraries take longer than all else

    try:
        return None if value is None else moment_of(value, now_ms())
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from None


def time_options(command: Command) -> Command:
    """From when to when."""
    for flag, text in (("--until", "Only those before then."), ("--since", "Only those since then.")):
        command = click.option(flag, callback=moment, metavar="TIME", help=f"{text} 2h (ago), or an ISO 8601 time.")(
            command
        )
    return command


def filter_options(states: Sequence[State], default: str) -> Callable[[Command], Command]:
    """Which deliveries."""

    def add(command: Command) -> Command:
        command = time_options(command)
        for flag, text in (
            ("--event", "Only those of this event: an id, its beginning, or last."),
            ("--source", "Only those whose event came in by this source."),
            ("--target", "Only those to this target."),
            ("--action", "Only those of actions with this name."),
            ("--rule", "Only those of this rule."),
        ):
            command = click.option(flag, metavar=flag.removeprefix("--").upper(), help=text)(command)
        return click.option(
            "--state",
            "states",
            multiple=True,
            type=click.Choice([state.value for state in states]),
            help=f"Only those in this state; repeatable. Default: {default}.",
        )(command)

    return add


def filter_of(states: Sequence[str], given: dict[str, Any]) -> Filter:
    """What `filter_options` were given."""
    from router.operate.queries import filter_of as filter_by  # noqa: PLC0415 - `--help` need not wait

    return filter_by(map(State, states), given)


def open_store(text: str) -> "OperatorStore":
    """The store as an operator uses it; it is never made. Raises StoreError."""
    from router.store.open import open_operator_store  # noqa: PLC0415 - `--help` need not wait for it

    try:
        path = store_path(text)
    except StartError as error:
        raise click.UsageError(str(error)) from None
    return open_operator_store(path)


def loader(*, require_secrets: bool) -> "Loader":
    """What reads rules files, with the environment's secrets."""
    from router.daemon.registries import REGISTRIES  # noqa: PLC0415 - `--help` need not wait for it
    from router.rules.compile.loader import Loader  # noqa: PLC0415

    return Loader(REGISTRIES, os.environ, require_secrets=require_secrets, trusting=True)


def now_ms() -> int:
    """The wall clock, ms."""
    return time.time_ns() // 1_000_000
