"""`webhook-router send`: try a rule without the provider, by a payload that is signed as the provider would."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

import click

from router.cli.options import json_option, loader, now_ms
from router.cli.request_flags import body_of, chosen_source, header_of, parameter_of
from router.domain.errors import Level, Problem, StartError

if TYPE_CHECKING:
    from router.cli.sending import Destination, Outgoing, SentResponse
    from router.plugins.scheme import SenderProfile
    from router.rules.source import Source

_HELP = """Post FILE to a running daemon, signed as the provider of SOURCE would; -: standard input.

\b
Examples:
  webhook-router send push.json --source github --event push
  webhook-router send payment.json --source stripe --to 127.0.0.1:9090
  webhook-router send push.json --source github --event push --dry-run
  echo '{"kind": "ping"}' | webhook-router send - --source internal
  webhook-router send order.json --source shop --header 'X-Kind: order' --query tenant=7

The path, the way of signing and the secret come from the rules file, so the same secrets have to be set here as for the
daemon. The body is sent byte for byte. Each request gets the ids of a new delivery, so that it is no duplicate of the
last; an id in the payload stays as it is. A --header replaces what would be sent by that name.

Exit codes: 0 the event was accepted, 1 it was not (or can't be signed, or nothing answered), 2 usage.
"""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHOWN = 1000  #: characters of an answer that is not the daemon's usual one


@click.command(help=_HELP, short_help="Post a payload, signed as its provider would.")
@click.argument("payload", metavar="FILE")
@click.option("--source", metavar="SOURCE", help="Whose sender to be; may be left out while there is one.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    default="rules.yaml",
    show_default=True,
    help="The rules file, which says where and how.",
)
@click.option(
    "--to",
    default="http://127.0.0.1:8080",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_LISTEN",
    metavar="URL|HOST:PORT",
    help="Where the daemon listens; a path in it comes before the source's.",
)
@click.option("--event", metavar="KIND", help="What the provider's event header says, such as push (X-GitHub-Event).")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header; repeatable.")
@click.option("--query", "queries", multiple=True, metavar="NAME=VALUE", help="A query parameter; repeatable.")
@click.option(
    "--content-type",
    metavar="TYPE",
    help="Of the body. Default: application/json; for slack and twilio a form, unless the file looks like JSON.",
)
@click.option("--method", metavar="METHOD", help="Default: the first of the source's methods.")
@click.option("--dry-run", is_flag=True, help="Show the request and send nothing; a password or token is not shown.")
@json_option
def send(
    payload: str,
    source: str | None,
    rules: Path,
    to: str,
    event: str | None,
    headers: tuple[str, ...],
    queries: tuple[str, ...],
    content_type: str | None,
    method: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Post a payload."""
    from router.cli.sending import Unanswered, destination, outgoing  # noqa: PLC0415
    from router.cli.sending import send as post  # noqa: PLC0415
    from router.daemon.registries import REGISTRIES  # noqa: PLC0415 - `--help` need not wait
    from router.plugins.scheme import Unsignable  # noqa: PLC0415

    try:
        place = destination(to)
    except StartError as error:
        raise click.UsageError(str(error)) from None
    loaded = loader(require_secrets=False).load_file(rules)
    if loaded.ruleset is None:
        for problem in loaded.problems:
            click.echo(str(problem), err=True)
        sys.exit(1)
    chosen = chosen_source(loaded.ruleset.sources, source)
    habit = REGISTRIES.schemes[chosen.scheme].PROFILE
    _check(event, content_type, method, habit, chosen)
    request = outgoing(
        chosen,
        habit,
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
        _show(request, place, as_json=as_json)
        return
    answer = post(request, place)
    if isinstance(answer, Unanswered):
        _fail(answer.reason + ("; start the daemon with webhook-router serve, or say --to" if answer.refused else ""))
    own_words = chosen.respond or chosen.handshake or any(rule.respond for rule in loaded.ruleset.rules)
    if 200 <= answer.status < 300 and not (own_words or _event_of(answer)):
        where = f"{request.inbound.method} {place}{request.inbound.path}"
        _fail(
            f"{where} answers {answer.status}, but with no event's id; is that the daemon? webhook-router status tells"
        )
    _tell(answer, request, place, chosen, rules, as_json=as_json)


def _event_of(answer: "SentResponse") -> str | None:
    """The event's id that an answer gives; none: another server may have sent it, or a rule has words of its own."""
    event = answer.content.get("id")
    return event if isinstance(event, str) and _ID.fullmatch(event) else None


def _sendable(headers: Any) -> list[tuple[str, str]]:
    from router.cli.sending import header_fault  # noqa: PLC0415 - `--help` need not wait

    found: list[tuple[str, str]] = []
    for name, value in headers:
        fault = header_fault(name, value)
        if fault is not None:
            raise click.UsageError(f"--header: {fault}")
        found.append((name, value))
    return found


def _check(
    event: str | None, content_type: str | None, method: str | None, habit: "SenderProfile", source: "Source"
) -> None:
    from router.cli.sending import header_fault  # noqa: PLC0415 - `--help` need not wait

    if event is not None and habit.event is None:
        raise click.UsageError(
            f"--event: scheme {source.scheme} of source {source.name} has no header for it; "
            "say it as your rules read it, such as --header 'X-GitHub-Event: push'"
        )
    for flag, value in (("--event", event), ("--content-type", content_type)):
        fault = header_fault(flag.removeprefix("--"), value) if value is not None else None
        if fault is not None:
            raise click.UsageError(f"{flag}: {fault}")
    if method is not None and not (method.isascii() and method.isalpha() and method.isupper()):
        raise click.UsageError("--method: expected an HTTP method in capitals, such as POST")


def _unsignable(reason: str, source: "Source", problems: Sequence[Problem], rules: Path) -> NoReturn:
    """Why, what is unset and where, and what to do instead."""
    below = f"sources.{source.name}.verify"
    unset = [p for p in problems if p.level is Level.NOTE and (p.path == below or p.path.startswith(f"{below}."))]
    if unset:
        for problem in unset:
            click.echo(str(problem), err=True)
        _fail(f"source {source.name} can't be signed for: {reason}; set it here as it is set for the daemon")
    _fail(
        f"source {source.name} can't be signed for: {reason}. To see what the rules would do: "
        f"webhook-router test {rules} --source {source.name} --payload FILE; to run them, give a source with "
        "verify: none the same rules"
    )


def _show(request: "Outgoing", to: "Destination", *, as_json: bool) -> None:
    from router.cli.tables import print_json, safe, size  # noqa: PLC0415 - `--help` need not wait

    if as_json:
        print_json({"request": _request_json(request, to)})
        return
    click.echo(f"{request.inbound.method} {safe(str(to) + request.shown_path)}")
    for name, value in request.shown_headers:
        click.echo(f"{safe(name)}: {safe(value)}")
    click.echo(f"\n{size(len(request.inbound.body))} of body; nothing was sent")


def _request_json(request: "Outgoing", to: "Destination") -> dict[str, Any]:
    return {
        "method": request.inbound.method,
        "url": str(to) + request.shown_path,
        "headers": [list(pair) for pair in request.shown_headers],
        "size": len(request.inbound.body),
    }


def _tell(
    answer: "SentResponse", request: "Outgoing", to: "Destination", source: "Source", rules: Path, *, as_json: bool
) -> None:
    from router.cli.tables import print_json  # noqa: PLC0415 - `--help` need not wait

    accepted = 200 <= answer.status < 300
    if as_json:
        shown = answer.content or answer.body.decode(errors="replace")
        print_json({"request": _request_json(request, to), "status": answer.status, "answer": shown})
    elif accepted:
        _print_accepted(answer, request, to, source, rules)
    else:
        _print_refused(answer, request, to)
    if not accepted:
        sys.exit(1)


def _print_accepted(
    answer: "SentResponse", request: "Outgoing", to: "Destination", source: "Source", rules: Path
) -> None:
    from router.cli.tables import print_fields, safe, size  # noqa: PLC0415 - `--help` need not wait

    content = answer.content
    event = _event_of(answer)
    fields = [
        ("sent", f"{size(len(request.inbound.body))} to {to}{request.inbound.path}, {_signing(source)}"),
        ("answer", f"{answer.status} {'a duplicate: nothing runs again' if content.get('duplicate') else 'accepted'}"),
    ]
    if event:
        fields.append(("event", event))
    if isinstance(content.get("matched"), list):
        fields.append(("matched", ", ".join(safe(str(rule)) for rule in content["matched"]) or "no rule"))
        fields.append(("deliveries", safe(str(content.get("deliveries", "")))))
    print_fields(fields)
    if not event:
        _print_body(answer)
        click.echo(f"\nwhat became of it:  webhook-router events list --source {source.name} --limit 1")
    elif content.get("duplicate"):
        key = source.dedupe.field.text if source.dedupe else "its dedupe key"
        click.echo(f"\nthe event above had the same {key} already; change that to send it as a new one")
    elif content.get("matched") == []:
        click.echo(f"\nwhy no rule matched:  webhook-router test {rules} --event {event} --explain")
    else:
        click.echo(f"\nwhat became of it:  webhook-router deliveries list --event {event}")


def _signing(source: "Source") -> str:
    return f"as scheme {source.scheme} asks" if source.verifier.verifies else "unsigned, as the source takes it"


_CURES = {
    401: "has the daemon the same secret as this shell, and do both clocks agree?",
    404: "does the daemon run these rules? webhook-router status tells",
    405: "--method says another one",
}


def _print_refused(answer: "SentResponse", request: "Outgoing", to: "Destination") -> None:
    from router.cli.tables import safe  # noqa: PLC0415 - `--help` need not wait

    detail = answer.content.get("detail")
    where = f"{request.inbound.method} {to}{request.inbound.path}"
    if isinstance(detail, str):
        cure = f" ({_CURES[answer.status]})" if answer.status in _CURES else ""
        click.echo(f"webhook-router: not accepted: {answer.status}: {safe(detail)}{cure}", err=True)
    elif 300 <= answer.status < 400:
        click.echo(
            f"webhook-router: not accepted: {where} answers {answer.status}; redirects aren't followed", err=True
        )
    else:
        click.echo(f"webhook-router: not accepted: {where} answers {answer.status}; is that the daemon?", err=True)
        _print_body(answer, err=True)


def _print_body(answer: "SentResponse", *, err: bool = False) -> None:
    from router.cli.tables import safe_lines  # noqa: PLC0415 - `--help` need not wait

    text = answer.body.decode(errors="replace")[:_SHOWN].strip()
    for line in safe_lines(text) if text else ():
        click.echo(f"  | {line}", err=err)


def _fail(message: str) -> NoReturn:
    from router.cli.tables import safe  # noqa: PLC0415 - `--help` need not wait

    click.echo(f"webhook-router: {safe(message)}", err=True)
    sys.exit(1)
