"""Parses the flags of `test` and `send` that make up a request."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from router.domain.errors import RouterError
from router.domain.headers import dropped_header

if TYPE_CHECKING:
    from router.plugins.scheme import SenderProfile
    from router.rules.source import Source


Command = TypeVar("Command", bound=Callable[..., Any])


def request_options(command: Command) -> Command:
    """Add the flags `--header`, `--param` and `--query`."""
    for flag, name, metavar, text in (
        ("--query", "queries", "NAME=VALUE", "A query parameter; repeatable."),
        ("--param", "params", "NAME=VALUE", "A named part of the path; repeatable."),
        ("--header", "headers", "'NAME: VALUE'", "A request header; repeatable."),
    ):
        command = click.option(flag, name, multiple=True, metavar=metavar, help=text)(command)
    return command


def header_of(text: str) -> tuple[str, str]:
    """Parse a `--header`. Raises UsageError."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"--header {text!r}: expected NAME: VALUE, such as 'X-GitHub-Event: push'")
    if "_" in name:
        raise click.UsageError(f"--header: {dropped_header(name.strip())}")
    return name.strip(), value.strip()


def parameter_of(text: str) -> tuple[str, str]:
    """Parse a `--query`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--query {text!r}: expected NAME=VALUE, such as tenant=7")
    return name, value


def chosen_source(sources: "Mapping[str, Source]", name: str | None) -> "Source":
    """The source that `--source` names, or the only one. Raises UsageError."""
    if name is None and len(sources) == 1:
        return next(iter(sources.values()))
    if name is None:
        raise click.UsageError(f"give --source: one of {', '.join(sorted(sources))}")
    from router.domain.own_events import SOURCE  # noqa: PLC0415 - `--help` need not wait

    if name == SOURCE and name not in sources:
        from router.rules.own_source import OWN_SOURCE  # noqa: PLC0415 - `--help` need not wait

        return OWN_SOURCE
    if name not in sources:
        raise click.UsageError(f"unknown source {name!r}; the rules file has {', '.join(sorted(sources)) or 'none'}")
    return sources[name]


def body_of(payload: str) -> bytes:
    """Read the body from a file, a pipe of the shell (`<(…)`), or standard input (`-`). Raises RouterError."""
    from router.domain.files.bounded import MAX_PAYLOAD_BYTES, Unreadable, read_file, read_stream  # noqa: PLC0415 - `--help` need not wait

    try:
        if payload == "-":
            return read_stream(sys.stdin.buffer, MAX_PAYLOAD_BYTES)
        return read_file(Path(payload), MAX_PAYLOAD_BYTES, pipes=True)
    except Unreadable as error:
        raise RouterError(f"the payload {payload} can't be read: {error}") from None


def sender_profile(source: "Source") -> "SenderProfile":
    """What requests of the source's provider look like. Empty for the source of the router's own events."""
    from router.daemon.registries import REGISTRIES  # noqa: PLC0415 - `--help` need not wait
    from router.plugins.scheme import SenderProfile  # noqa: PLC0415

    if source.preset:
        return REGISTRIES.presets[source.preset].PROFILE
    scheme = REGISTRIES.schemes.get(source.scheme)
    return scheme.PROFILE if scheme is not None else SenderProfile()


def with_event(
    headers: list[tuple[str, str]], event: str | None, profile: "SenderProfile", source: "Source"
) -> list[tuple[str, str]]:
    """The headers, with the provider's event header added unless it is given. Raises UsageError."""
    check_event(event, profile, source)
    if event is None or profile.event is None or profile.event.lower() in {name.lower() for name, _ in headers}:
        return headers
    return [*headers, (profile.event, event)]


def check_event(event: str | None, profile: "SenderProfile", source: "Source") -> None:
    """Raises UsageError if `--event` is given but the provider has no header for the kind of an event."""
    if event is not None and profile.event is None:
        raise click.UsageError(
            f"--event: scheme {source.scheme} of source {source.name} has no header for it; "
            "give the header that your rules read, such as --header 'X-GitHub-Event: push'"
        )


def at_path(source: "Source", params: Sequence[str]) -> "Source":
    """The source, with the `--param` values in its path. Raises UsageError."""
    from router.rules.source import placed  # noqa: PLC0415 - `--help` need not wait

    given: dict[str, str] = {}
    for pair in params:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--param {pair!r}: expected NAME=VALUE, such as tenant=7")
        given[name] = value
    try:
        return placed(source, given)
    except ValueError as error:
        raise click.UsageError(f"--param: {error}") from None


def received_at_of(text: str) -> int:
    """The time of `--received-at`, in ms. Raises UsageError."""
    from router.rules.match.operators.age import unix_ms  # noqa: PLC0415 - `--help` need not wait

    found = unix_ms(text)
    if found is None:
        raise click.UsageError(f"--received-at {text!r} is not a time with a zone, such as 2024-05-01T09:30:00+02:00")
    return round(found)
