"""Prints the request that `send` makes, and the daemon's response."""

import re
import sys
from pathlib import Path
from typing import Any

import click

from router.cli.printing.table import print_fields, print_json
from router.cli.printing.text import safe, safe_lines, size
from router.cli.sender.client import DaemonResponse
from router.cli.sender.destination import Destination
from router.cli.sender.request import SignedRequest
from router.rules.source import Source

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PRINTED_CHARS = 1000  #: the most that is printed of an unexpected response


def event_id_of(response: DaemonResponse) -> str | None:
    """The event's id in a response. None if a rule replaces the response, or if another server sent it."""
    event = response.content.get("id")
    return event if isinstance(event, str) and _ID.fullmatch(event) else None


def print_request(request: SignedRequest, to: Destination, *, as_json: bool) -> None:
    """Print a request that is not sent, with credentials masked."""
    if as_json:
        print_json({"request": _request_json(request, to)})
        return
    click.echo(f"{request.inbound.method} {safe(str(to) + request.masked_path)}")
    for name, value in request.masked_headers:
        click.echo(f"{safe(name)}: {safe(value)}")
    click.echo(f"\n{size(len(request.inbound.body))} of body; nothing was sent")


def _request_json(request: SignedRequest, to: Destination) -> dict[str, Any]:
    return {
        "method": request.inbound.method,
        "url": str(to) + request.masked_path,
        "headers": [list(pair) for pair in request.masked_headers],
        "size": len(request.inbound.body),
    }


def print_response(
    response: DaemonResponse, request: SignedRequest, to: Destination, source: Source, rules: Path, *, as_json: bool
) -> None:
    """Print the response and what to do next. Ends with exit code 1 if the event was not accepted."""
    accepted = 200 <= response.status < 300
    if as_json:
        content = response.content or response.body.decode(errors="replace")
        print_json({"request": _request_json(request, to), "status": response.status, "answer": content})
    elif accepted:
        _print_accepted(response, request, to, source, rules)
    else:
        _print_refused(response, request, to)
    if not accepted:
        sys.exit(1)


def _print_accepted(
    response: DaemonResponse, request: SignedRequest, to: Destination, source: Source, rules: Path
) -> None:
    content = response.content
    event = event_id_of(response)
    verdict = "a duplicate: nothing runs again" if content.get("duplicate") else "accepted"
    fields = [
        ("sent", f"{size(len(request.inbound.body))} to {to}{request.inbound.path}, {_signature_text(source)}"),
        ("answer", f"{response.status} {verdict}"),
    ]
    if event:
        fields.append(("event", event))
    if isinstance(content.get("matched"), list):
        fields.append(("matched", ", ".join(safe(str(rule)) for rule in content["matched"]) or "no rule"))
        fields.append(("deliveries", safe(str(content.get("deliveries", "")))))
    print_fields(fields)
    if not event:
        _print_body(response)
        click.echo(f"\nwhat became of it:  webhook-router events list --source {source.name} --limit 1")
    elif content.get("duplicate"):
        key = source.dedupe.field.text if source.dedupe else "its dedupe key"
        click.echo(f"\nthe event above had the same {key} already; change that to send it as a new one")
    elif content.get("matched") == []:
        click.echo(f"\nwhy no rule matched:  webhook-router test {rules} --event {event} --explain")
    else:
        click.echo(f"\nwhat became of it:  webhook-router deliveries list --event {event}")


def _signature_text(source: Source) -> str:
    return f"as scheme {source.scheme} asks" if source.verifier.verifies else "unsigned: the source verifies nothing"


_CURES = {
    401: "does the daemon have the same secret as this shell, and do both clocks agree?",
    404: "does the daemon run these rules? webhook-router status shows it",
    405: "choose another with --method",
}


def _print_refused(response: DaemonResponse, request: SignedRequest, to: Destination) -> None:
    detail = response.content.get("detail")
    where = f"{request.inbound.method} {to}{request.inbound.path}"
    if isinstance(detail, str):
        cure = f" ({_CURES[response.status]})" if response.status in _CURES else ""
        click.echo(f"webhook-router: not accepted: {response.status}: {safe(detail)}{cure}", err=True)
    elif 300 <= response.status < 400:
        click.echo(
            f"webhook-router: not accepted: {where} answers {response.status}; redirects aren't followed", err=True
        )
    else:
        click.echo(f"webhook-router: not accepted: {where} answers {response.status}; is that the daemon?", err=True)
        _print_body(response, err=True)


def _print_body(response: DaemonResponse, *, err: bool = False) -> None:
    text = response.body.decode(errors="replace")[:_PRINTED_CHARS].strip()
    for line in safe_lines(text) if text else ():
        click.echo(f"  | {line}", err=err)
