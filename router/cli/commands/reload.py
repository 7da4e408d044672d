"""`webhook-router reload`: makes the running daemon read its rules file again, and prints the result."""

import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from router.cli.daemon_client import DaemonClient, admin_options, given_token
from router.cli.options import json_option, now_ms, open_store, store_option_for
from router.domain.errors import RouterError

SECONDS = 40.0  #: for the answer; the daemon gives it after 30

_HELP = """Let the running daemon read its rules file and secret files again; print what changed, or why nothing did.

\b
Examples:
  webhook-router reload
  webhook-router reload --store sqlite:/var/lib/webhook-router/webhook-router.db
  webhook-router reload --json | jq .changed

The daemon reloads by itself when a file changes; this asks at once, and waits for the answer. It asks the admin
listener that the store names, with the token beside the store, unless --admin and the token are given as to `serve`.
Without an admin listener (`serve --admin off`) it sends SIGHUP, and can't print the result. Exit codes: 0 the file
on disk runs now, 1 it does not, or no daemon answers, 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Let the daemon read its rules again; see what changed.")
@admin_options
@store_option_for("The daemon's store, which names its admin listener and has its token beside it.")
@json_option
@click.pass_context
def reload(
    context: click.Context,
    admin: str,
    admin_token_file: Path | None,
    admin_tls_cert: Path | None,
    store: str,
    *,
    as_json: bool,
) -> None:
    """Ask the daemon."""
    if context.get_parameter_source("admin") is click.core.ParameterSource.DEFAULT:
        admin = _admin_of(store) or admin
    if admin == "off":
        _signal(store)
        return
    token = given_token(admin_token_file) or _token_beside(store)
    since = _since(store)
    status, body = DaemonClient.of(admin, token, admin_tls_cert).ask("POST", "/-/reload", SECONDS)
    answer = _parsed(body)
    if as_json and answer is not None:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif status == 200 and answer is not None:
        _print(answer, since)
    else:
        _print_refusal(status, answer or {})
    if status != 200:
        sys.exit(1)


def _admin_of(store: str) -> str | None:
    """The admin listener of the daemon that runs on the store; None if none runs, the store can't be read, or daemons
    of other machines use it too."""
    from router.operate.status import note  # noqa: PLC0415 - `--help` need not wait
    from router.store.location import store_location  # noqa: PLC0415

    try:
        if not isinstance(store_location(store), Path):
            return None
        with closing(open_store(store)) as opened:
            process = note(opened, "process") if opened.owner() is not None else {}
    except RouterError:
        return None
    return None if not process else str(process.get("admin") or "off")


def _signal(store: str) -> None:
    from router.store.location import store_location  # noqa: PLC0415 - `--help` need not wait

    if not isinstance(store_location(store), Path):
        raise click.UsageError("the store does not tell which process runs on this machine; send SIGHUP to it yourself")
    with closing(open_store(store)) as opened:
        pid = opened.owner()
    if not pid:
        raise RouterError("no daemon runs on this store")
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise RouterError(f"can't send SIGHUP to the daemon, process {pid}: {os.strerror(error.errno or 0)}") from None
    click.echo(f"sent SIGHUP to process {pid}; `webhook-router status` shows the result")


def _token_beside(store: str) -> str:
    """The token in the file beside the store. Empty when the file is missing or can't be read."""
    from router.store.location import beside, store_location  # noqa: PLC0415 - `--help` need not wait

    try:
        return Path(f"{os.path.realpath(beside(store_location(store)))}.token").read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RouterError):
        return ""


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _since(store: str) -> str:
    """When the daemon loaded its rules. It may have seen the change before this command asked."""
    from router.cli.printing.text import span  # noqa: PLC0415 - `--help` need not wait
    from router.operate.status import note  # noqa: PLC0415

    try:
        with closing(open_store(store)) as opened:
            at = note(opened, "rules").get("loaded_at")
    except RouterError:
        return ""
    return f" since {span(now_ms() - at)} ago" if isinstance(at, int) else ""


def _print(answer: dict[str, Any], since: str) -> None:
    from router.cli.printing.text import counted, safe  # noqa: PLC0415 - `--help` need not wait

    words = f"reloaded: nothing changed{since}" if answer.get("unchanged") else "reloaded"
    click.echo(f"{words}, {counted(int(answer.get('rules', 0)), 'rule')}, hash {safe(str(answer.get('hash'))[:12])}")
    for word in ("added", "removed", "changed", "besides"):
        names = answer.get(word) or ()
        if names:
            click.echo(f"  {'also changed' if word == 'besides' else word}: {safe(', '.join(map(str, names)))}")
    _print_problems(answer.get("warnings"))


def _print_refusal(status: int, answer: dict[str, Any]) -> None:
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait

    if status == 401:
        reason = "the admin listener refused the token: set WEBHOOK_ROUTER_ADMIN_TOKEN, or give --admin-token-file"
    else:
        reason = str(answer.get("detail") or f"it answered {status}")
    click.echo(f"webhook-router: not reloaded: {safe(reason)}", err=True)
    _print_problems(answer.get("problems"))


def _print_problems(problems: Any) -> None:
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait

    for one in problems if isinstance(problems, list) else ():
        place = f"{one.get('file')}:{one.get('line')}:{one.get('column')}"
        level = "" if one.get("level") == "error" else f"{one.get('level')}: "
        path = f"{one.get('path')}: " if one.get("path") else ""
        click.echo(safe(f"{place}: {level}{path}{one.get('message')}"), err=True)
