"""Prints the settings of each source as they are in force."""

from typing import Any

import click
import yaml

from router.domain.units import as_duration, as_keeping, as_size
from router.rules.ruleset import Ruleset


def print_settings(ruleset: Ruleset) -> None:
    """Print every source's settings, defaults included, as YAML that a rules file takes."""
    sources = {source.name: _as_written(dict(sorted(source.settings.items()))) for source in ruleset.sources.values()}
    click.echo(yaml.safe_dump({"sources": sources}, sort_keys=False, allow_unicode=True, width=100), nl=False)


def _as_written(settings: Any) -> Any:
    """Settings as a rules file has them: with units, without empty lists and `optional: false`."""
    if isinstance(settings, (list, tuple)):
        return [_as_written(item) for item in settings]
    if not isinstance(settings, dict):
        return settings
    units = {"max_body": as_size, "tolerance": as_duration, "max_age": as_duration, "keep": as_keeping}
    units |= {"every": as_duration, "timeout": as_duration}  # of a poll
    return {
        key: units[key](value) if key in units else _as_written(value)
        for key, value in settings.items()
        if not (key == "allow_ips" and value == [])
        and not (key == "headers" and value == {})
        and not (key == "optional" and value is False)
    }
