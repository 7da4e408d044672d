"""`webhook-router sources`: lists the known providers, describes one, and polls a source."""

import json
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.options import json_option, loader, now_ms, open_store, rules_argument, store_option_for
from router.cli.request_flags import chosen_source
from router.domain.errors import RouterError, RulesError, StoreError

if TYPE_CHECKING:
    from router.intake.verify.preset import Preset
    from router.store.contract import OperatorStore

_HELP = """The known providers and their settings.

\b
webhook-router sources list            name them
webhook-router sources show NAME       print what is known of one
webhook-router init --source NAME      write a rules file for one
webhook-router sources poll NAME       poll a source of the rules file once, now
"""

_LIST_HELP = """List the known providers, and how their requests are verified.

\b
Examples:
  webhook-router sources list
  webhook-router sources list --json

Exit codes: 0 done, 2 wrong usage.
"""

_SHOW_HELP = """Print what is known of a provider: documentation, what to enter there, settings.

\b
Examples:
  webhook-router sources show linear
  webhook-router sources show zoom --json

Exit codes: 0 done, 1 no such provider, 2 wrong usage.
"""

_POLL_HELP = """Poll a source once, now, and print the events of its answer.

\b
Examples:
  webhook-router sources poll jobs --once --dry-run
  webhook-router sources poll jobs --once --rules rules.yaml

The events are stored, as after a poll by the daemon; a running daemon makes their deliveries. An item that an earlier
poll has seen gives no event again. With --dry-run nothing is stored, and a first poll shows the events of start: all.

NAME is a source with poll in the rules file. Exit codes: 0 done, 1 the poll failed, 2 wrong usage.
"""


@click.group(help=_HELP, short_help="The known providers and their settings.")
def sources() -> None:
    """The known providers."""


@sources.command("list", help=_LIST_HELP, short_help="List the known providers.")
@json_option
def list_sources(*, as_json: bool) -> None:
    """List the known providers, and how their requests are verified."""
    from router.cli.printing.table import print_json, print_table  # noqa: PLC0415 - `--help` need not wait
    from router.intake.verify.preset import presets  # noqa: PLC0415

    found = sorted(presets().values(), key=lambda preset: preset.name)
    if as_json:
        print_json([{"name": one.name, "title": one.title, "scheme": one.scheme} for one in found])
        return
    rows = [(one.name, one.scheme or "can't be verified", one.title) for one in found]
    print_table(("NAME", "VERIFIED BY", "PROVIDER"), rows, folding=("PROVIDER",))
    others = ", ".join(_without_preset())
    click.echo(f"Providers with their own scheme: {others}. `webhook-router init --source NAME` shows each.", err=True)


@sources.command(help=_SHOW_HELP, short_help="Print what is known of a provider.")
@click.argument("name")
@json_option
def show(name: str, *, as_json: bool) -> None:
    """Print what is known of a provider."""
    from router.cli.printing.table import print_json  # noqa: PLC0415 - `--help` need not wait
    from router.domain.nearest_word import did_you_mean  # noqa: PLC0415
    from router.intake.verify.preset import presets  # noqa: PLC0415

    found = presets().get(name)
    if name in _without_preset():
        raise RouterError(f"{name} has a scheme of its own: `webhook-router init --source {name}` shows its settings")
    if found is None:
        cure = did_you_mean(name, presets()) or "; webhook-router sources list names all"
        raise RouterError(f"unknown provider {name!r}{cure}")
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found)


@sources.command(help=_POLL_HELP, short_help="Poll a source once, now.")
@click.argument("name")
@rules_argument()
@click.option("--once", is_flag=True, help="Poll once and end; required, since this command does nothing else.")
@click.option("--dry-run", is_flag=True, help="Print what would be stored, and store nothing.")
@store_option_for("The store that knows the items seen, and gets the events. Optional for a dry run.")
@json_option
def poll(name: str, rules: Path, store: str, *, once: bool, dry_run: bool, as_json: bool) -> None:  # noqa: ARG001
    """Poll a source once, now."""
    from router.cli.printing.polls import poll_json, print_poll  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.table import print_json  # noqa: PLC0415
    from router.intake.poll.spec import PollSpec  # noqa: PLC0415
    from router.operate.poll_source import poll_once  # noqa: PLC0415

    loaded = loader(require_secrets=False).load_file(rules)
    if loaded.ruleset is None:
        raise RulesError(loaded.problems)
    source = chosen_source(loaded.ruleset.sources, name)
    if not isinstance(source.poll, PollSpec):
        raise click.UsageError(f"source {name} is not polled: its senders post to {source.path}")
    with ExitStack() as stack:
        opened = _store(store, dry=dry_run)
        if opened is not None:
            stack.enter_context(closing(opened))
        report = poll_once(opened, loaded.ruleset, source, source.poll, now_ms(), dry=dry_run)
        if as_json:
            print_json(poll_json(loaded.ruleset, report, dry=dry_run))
        else:
            print_poll(loaded.ruleset, source, report, dry=dry_run)


def _store(text: str, *, dry: bool) -> "OperatorStore | None":
    """The store; None for a dry run before the first start of a daemon."""
    try:
        return open_store(text)
    except StoreError:
        if dry:
            return None
        raise


def _without_preset() -> list[str]:
    """The starters for providers without a preset."""
    from router.cli.starters.library import starters  # noqa: PLC0415 - `--help` need not wait
    from router.intake.verify.preset import presets  # noqa: PLC0415

    return sorted(set(starters()) - set(presets()))


def _as_json(preset: "Preset") -> dict[str, Any]:
    names = [
        *("name", "title", "page", "date", "setup", "scheme", "options", "example", "example_verify", "source"),
        *("event", "ids", "form", "headers", "uncovered", "ask", "notes", "vector"),
    ]
    return {name: getattr(preset, name) for name in names}


def _print(preset: "Preset") -> None:
    from router.cli.printing.table import print_fields  # noqa: PLC0415 - `--help` need not wait
    from router.cli.starters.preset_starters import preset_starter, source_lines  # noqa: PLC0415

    vector = preset.vector or {}
    fields = [
        ("provider", preset.title),
        ("documentation", f"{preset.page} (as of {preset.date}; not tried with the provider itself)"),
        ("set up", _plain(preset.setup)),
        (
            "verified by",
            f"scheme {preset.scheme}" if preset.scheme else "nothing documented: choose verify yourself",
        ),
        *((f"  {key}", _shown(value)) for key, value in preset.options.items()),
        *((f"sets {key}", _shown(value)) for key, value in preset.source.items() if key != "probes"),
        *(("answers", _shown(probe)) for probe in preset.source.get("probes", ())),
        ("unsigned", _plain(preset.uncovered)),
        ("test instead", _plain(preset.ask)),
    ]
    if preset.notes:
        fields.append(("note", _plain(preset.notes)))
    if vector:
        fields.append(("test vector", _ORIGINS[vector["origin"]]))
    print_fields(fields)
    click.echo("\nsources:\n  " + preset.name + ":")
    for line in source_lines(preset):
        click.echo(f"    {line}")
    secret = preset_starter(preset).secret
    if secret:
        click.echo(f"\n{secret}")


_ORIGINS = {
    "published": "published by the provider",
    "made": "made by an independent implementation, from the documentation",
}


def _plain(text: str) -> str:
    return text.replace("`", "").replace("*", "")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
