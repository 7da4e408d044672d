"""Flags that several commands share, and how their values are read."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from router.domain.deliveries import State
from router.domain.errors import StartError, StoreUrlError
from router.domain.filters import Filter

if TYPE_CHECKING:
    from router.rules.compile.loader import Loader
    from router.rules.ruleset import Ruleset
    from router.store.contract import OperatorStore
    from router.store.location import StoreLocation

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(flag: str, **options: Any) -> Callable[[Command], Command]:
    """A flag that an environment variable can set too: `--listen` and WEBHOOK_ROUTER_LISTEN."""
    name = f"WEBHOOK_ROUTER_{flag.removeprefix('--').replace('-', '_').upper()}"
    return click.option(flag, envvar=name, show_envvar=True, show_default=bool(options.get("default")), **options)


def store_option_for(use: str) -> Callable[[Command], Command]:
    """Add the flag `--store`. `use` is its help text."""
    return setting("--store", metavar="sqlite:FILE|postgresql://…", default="sqlite:webhook-router.db", help=use)


store_option = store_option_for("The store of events and deliveries.")


def rules_argument(metavar: str = "[RULES]", envvar: str | None = None) -> Callable[[Command], Command]:
    """The rules file, as the argument `rules` or by `--rules`; rules.yaml by default."""

    def add(command: Command) -> Command:
        # Eager: click reads it before the argument, so the argument's callback can take it.
        option = click.option(
            "--rules",
            "rules_flag",
            type=click.Path(path_type=Path),
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            callback=_keep_rules,
            help=f"The rules file, instead of the argument {metavar.strip('[]')}.",
        )
        argument = click.argument(
            "rules",
            metavar=metavar,
            type=click.Path(path_type=Path),
            default="rules.yaml",
            envvar=envvar,
            callback=_chosen_rules,
        )
        return argument(option(command))

    return add


def _keep_rules(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[_RULES] = value


def _chosen_rules(context: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """The rules file that `--rules` or the argument names. Raises UsageError if they differ."""
    flag = context.meta.get(_RULES)
    if flag is None:
        return value
    written = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
    if written and flag != value:
        raise click.UsageError(f"name the rules file once: {value} or --rules {flag}")
    return Path(flag)


_RULES = "router.cli.rules"  #: where `--rules` is kept until the argument is read


def json_option(command: Command) -> Command:
    """Add the flag `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def time_value(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Parse `2h` (two hours ago) or an ISO 8601 time, to ms. A time without a zone is local."""
    from router.operate.parse_time import parse_time  # noqa: PLC0415 - `--help` need not wait

    try:
        return None if value is None else parse_time(value, now_ms())
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from None


def time_options(command: Command) -> Command:
    """Add the flags `--since` and `--until`."""
    for flag, text in (("--until", "Only before this time:"), ("--since", "Only from this time on:")):
        command = click.option(
            flag, callback=time_value, metavar="TIME", help=f"{text} 2h (ago), or an ISO 8601 time."
        )(command)
    return command


def filter_options(states: Sequence[State], default: str) -> Callable[[Command], Command]:
    """Add the flags that select deliveries. `default` tells the reader of the help which states are the default."""

    def add(command: Command) -> Command:
        command = time_options(command)
        for flag, text in (
            ("--event", "Only of this event: an id, the beginning of one, or last."),
            ("--source", "Only of events from this source."),
            ("--target", "Only to this target."),
            ("--action", "Only of actions with this name."),
            ("--rule", "Only of this rule."),
        ):
            command = click.option(flag, metavar=flag.removeprefix("--").upper(), help=text)(command)
        return click.option(
            "--state",
            "states",
            multiple=True,
            type=click.Choice([state.value for state in states]),
            help=f"Only in this state; repeatable. Default: {default}.",
        )(command)

    return add


def filter_of(states: Sequence[str], flags: dict[str, Any]) -> Filter:
    """The filter from the values of the flags that `filter_options` adds."""
    from router.operate.queries import filter_of as filter_by  # noqa: PLC0415 - `--help` need not wait

    return filter_by(map(State, states), flags)


def store_location(text: str) -> "StoreLocation":
    """Read a store's location. Raises UsageError, or StoreUrlError."""
    from router.store.location import store_location as parse  # noqa: PLC0415 - `--help` need not wait for it

    try:
        return parse(text)
    except StoreUrlError:
        raise
    except StartError as error:
        raise click.UsageError(str(error)) from None


def open_store(text: str) -> "OperatorStore":
    """Open an existing store, beside a daemon or without one. Raises StoreError, UsageError."""
    from router.store.open import open_operator_store  # noqa: PLC0415 - `--help` need not wait for it

    return open_operator_store(store_location(text))


def loader(*, require_secrets: bool) -> "Loader":
    """A loader of rules files that takes secrets from the environment."""
    from router.daemon.registries import REGISTRIES  # noqa: PLC0415 - `--help` need not wait for it
    from router.rules.compile.loader import Loader  # noqa: PLC0415

    return Loader(REGISTRIES, os.environ, require_secrets=require_secrets, trusting=True)


def running_ruleset(store: "OperatorStore") -> "Ruleset | None":
    """The rules that the daemon runs, or ran last, from the text in the store; None if they can't be read. Raises
    StoreError."""
    from router.operate.status import note  # noqa: PLC0415 - `--help` need not wait for it

    text = store.ruleset(str(note(store, "rules").get("hash", "")))
    return loader(require_secrets=False).load_recorded(text).ruleset if text is not None else None


def now_ms() -> int:
    """The wall clock, in ms."""
    return time.time_ns() // 1_000_000
