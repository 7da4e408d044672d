"""`webhook-router send`: posts a payload to the daemon, signed as the provider would."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlencode

import click

from router.cli.failure import fail, usable
from router.cli.options import json_option, loader, now_ms
from router.cli.request_flags import (
    at_path,
    body_of,
    check_event,
    chosen_source,
    header_of,
    parameter_of,
    request_options,
    sender_profile,
)
from router.domain.errors import Level, Problem, StartError

if TYPE_CHECKING:
    from router.cli.sender.client import DaemonResponse
    from router.cli.sender.destination import Destination
    from router.cli.sender.request import SignedRequest
    from router.plugins.scheme import SenderProfile
    from router.rules.ruleset import Ruleset
    from router.rules.source import Source

_HELP = """Post FILE to a running daemon, signed as the source's provider would sign it. FILE -: standard input.

\b
Examples:
  webhook-router send push.json --source github --event push
  webhook-router send payment.json --source stripe --to 127.0.0.1:9090
  webhook-router send push.json --source github --event push --dry-run
  echo '{"kind": "ping"}' | webhook-router send - --source internal
  webhook-router send order.json --source shop --header 'X-Kind: order' --query tenant=7

Path, signing scheme and secret come from the rules file; set the same secrets in this shell as for the daemon. The body
is sent unchanged. Each request gets a new id in the provider's id header, so the daemon takes it for a new event, not a
duplicate; an id inside the payload stays the same. A --header replaces the header of that name.

Exit codes: 0 the event was accepted, 1 it was refused, can't be signed, or nothing answered, 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Post a payload, signed as its provider would.")
@click.argument("payload", metavar="FILE")
@click.option("--source", metavar="SOURCE", help="The source to send to. Needed if the rules file has several.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    default="rules.yaml",
    show_default=True,
    help="The rules file that defines the source.",
)
@click.option(
    "--to",
    default="http://127.0.0.1:8080",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_LISTEN",
    metavar="URL|HOST:PORT",
    help="Address of the daemon. A path in the URL is put before the source's path.",
)
@click.option("--event", metavar="KIND", help="Value of the provider's event header, such as push for X-GitHub-Event.")
@request_options
@click.option(
    "--content-type",
    metavar="TYPE",
    help="Content type of the body. Default: JSON, XML or multipart, as the body looks; for slack and twilio a form.",
)
@click.option("--method", metavar="METHOD", help="HTTP method. Default: the first of the source's methods.")
@click.option("--dry-run", is_flag=True, help="Print the request, with passwords and tokens masked, and send nothing.")
@json_option
def send(
    payload: str,
    source: str | None,
    rules: Path,
    to: str,
    event: str | None,
    headers: tuple[str, ...],
    params: tuple[str, ...],
    queries: tuple[str, ...],
    content_type: str | None,
    method: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Post a payload."""
    from router.cli.sender.destination import destination  # noqa: PLC0415
    from router.cli.sender.printing import print_request, print_response  # noqa: PLC0415
    from router.cli.sender.request import signed_request  # noqa: PLC0415
    from router.plugins.scheme import Unsignable  # noqa: PLC0415

    try:
        daemon = destination(to)
    except StartError as error:
        raise click.UsageError(str(error)) from None
    loaded = loader(require_secrets=False).load_file(rules)
    ruleset = usable(loaded)
    chosen = at_path(chosen_source(ruleset.sources, source), params)
    profile = sender_profile(chosen)
    _check_flags(event, content_type, method, profile, chosen)
    request = signed_request(
        chosen,
        profile,
        body_of(payload),
        _sendable(header_of(header) for header in headers),
        urlencode([parameter_of(pair) for pair in queries]),
        now_ms(),
        content_type=content_type,
        event=event,
        method=method,
    )
    if isinstance(request, Unsignable):
        _unsignable(request.reason, chosen, loaded.problems, rules)
    if dry_run:
        print_request(request, daemon, as_json=as_json)
        return
    response = _posted(request, daemon, ruleset, chosen)
    print_response(response, request, daemon, chosen, rules, as_json=as_json)


def _posted(request: "SignedRequest", daemon: "Destination", ruleset: "Ruleset", source: "Source") -> "DaemonResponse":
    """Post the request. If nothing answers, or something that is no daemon, the command ends."""
    from router.cli.sender.client import NoResponse  # noqa: PLC0415 - `--help` need not wait
    from router.cli.sender.client import send as post  # noqa: PLC0415
    from router.cli.sender.printing import event_id_of  # noqa: PLC0415

    response = post(request, daemon)
    if isinstance(response, NoResponse):
        cure = "; start the daemon with webhook-router serve, or give its address by --to" if response.refused else ""
        _fail(response.reason + cure)
    custom_response = source.respond or source.handshake or any(rule.respond for rule in ruleset.rules)
    if 200 <= response.status < 300 and not (custom_response or event_id_of(response)):
        where = f"{request.inbound.method} {daemon}{request.inbound.path} answers {response.status}"
        _fail(f"{where}, but without an event id; is that the daemon? webhook-router status shows it")
    return response


def _sendable(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of the flags. Raises UsageError for one that can't be sent."""
    from router.cli.sender.request import header_fault  # noqa: PLC0415 - `--help` need not wait

    checked: list[tuple[str, str]] = []
    for name, value in headers:
        fault = header_fault(name, value)
        if fault is not None:
            raise click.UsageError(f"--header: {fault}")
        checked.append((name, value))
    return checked


def _check_flags(
    event: str | None, content_type: str | None, method: str | None, profile: "SenderProfile", source: "Source"
) -> None:
    from router.cli.sender.request import header_fault  # noqa: PLC0415 - `--help` need not wait

    check_event(event, profile, source)
    for flag, value in (("--event", event), ("--content-type", content_type)):
        fault = header_fault(flag.removeprefix("--"), value) if value is not None else None
        if fault is not None:
            raise click.UsageError(f"{flag}: {fault}")
    if method is not None and not (method.isascii() and method.isalpha() and method.isupper()):
        raise click.UsageError("--method: expected an HTTP method in capitals, such as POST")


def _unsignable(reason: str, source: "Source", problems: Sequence[Problem], rules: Path) -> NoReturn:
    """Print why the request can't be signed, which secrets are unset, and what to do instead."""
    below = f"sources.{source.name}.verify"
    unset = [p for p in problems if p.level is Level.NOTE and (p.path == below or p.path.startswith(f"{below}."))]
    if unset:
        for problem in unset:
            click.echo(str(problem), err=True)
        _fail(f"can't sign for source {source.name}: {reason}; set it in this shell as for the daemon")
    _fail(
        f"can't sign for source {source.name}: {reason}. To see what the rules would do: "
        f"webhook-router test {rules} --source {source.name} --payload FILE. To run them, add a source with "
        "verify: none to the rules"
    )


def _fail(message: str) -> NoReturn:
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait

    fail(safe(message))
