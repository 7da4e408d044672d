"""`webhook-router sources`: the providers that are known, and what is known of one."""

import json
from typing import TYPE_CHECKING, Any

import click

from router.cli.options import json_option
from router.domain.errors import RouterError

if TYPE_CHECKING:
    from router.intake.verify.preset import Preset

_HELP = """The providers that are known, and their settings.

\b
webhook-router sources list            name them
webhook-router sources show NAME       print what is known of one
webhook-router init --source NAME      write a rules file for one
"""

_LIST_HELP = """List the providers that are known, and how their requests are verified.

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


@click.group(help=_HELP, short_help="The providers that are known, and their settings.")
def sources() -> None:
    """The providers that are known."""


@sources.command("list", help=_LIST_HELP, short_help="List the providers that are known.")
@json_option
def list_sources(*, as_json: bool) -> None:
    """List the providers that are known, and how their requests are verified."""
    from router.cli.printing.table import print_json, print_table  # noqa: PLC0415 - `--help` need not wait
    from router.intake.verify.preset import presets  # noqa: PLC0415

    found = sorted(presets().values(), key=lambda preset: preset.name)
    if as_json:
        print_json([{"name": one.name, "title": one.title, "scheme": one.scheme} for one in found])
        return
    rows = [(one.name, one.scheme or "can't be verified", one.title) for one in found]
    print_table(("NAME", "VERIFIED BY", "PROVIDER"), rows, folding=("PROVIDER",))
    others = ", ".join(_without_preset())
    click.echo(f"With a scheme of their own: {others}. `webhook-router init --source NAME` shows each.", err=True)


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
        raise RouterError(f"no provider is known as {name!r}{cure}")
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found)


def _without_preset() -> list[str]:
    """Starters of sources that no preset describes."""
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
        ("documentation", f"{preset.page} (of {preset.date}; no provider was reached)"),
        ("set up", _plain(preset.setup)),
        (
            "verified by",
            f"scheme {preset.scheme}" if preset.scheme else "nothing: verify is yours to choose",
        ),
        *((f"  {key}", _shown(value)) for key, value in preset.options.items()),
        *((f"sets {key}", _shown(value)) for key, value in preset.source.items() if key != "probes"),
        *(("answers", _shown(probe)) for probe in preset.source.get("probes", ())),
        ("left open", _plain(preset.uncovered)),
        ("ask for", _plain(preset.ask)),
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
