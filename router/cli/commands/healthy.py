"""`webhook-router healthy`: queries a running daemon's probes, for health checks in images without an HTTP client."""

import json
import sys
from pathlib import Path

import click

from router.cli.daemon_client import DaemonClient, admin_options, given_token

SECONDS = 5.0  #: for the response; the usual timeout of a probe

_HELP = """Check that the daemon runs; with --ready, that it can take and deliver events.

\b
Examples:
  webhook-router healthy
  webhook-router healthy --ready --admin 127.0.0.1:8081

For health checks of containers and the like. An admin listener beyond loopback needs its token for every request: give
it with WEBHOOK_ROUTER_ADMIN_TOKEN or --admin-token-file, as to `serve`. Exit codes: 0 yes, 1 no, 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Check that the daemon runs, for health checks.")
@admin_options
@click.option("--ready", is_flag=True, help="Query /-/ready: the store, the rules and the deliveries must work too.")
def healthy(admin: str, admin_token_file: Path | None, admin_tls_cert: Path | None, *, ready: bool) -> None:
    """Query the daemon."""
    if admin == "off":
        raise click.UsageError("--admin off leaves no listener to query; run the daemon with --admin 127.0.0.1:8081")
    daemon = DaemonClient.of(admin, given_token(admin_token_file), admin_tls_cert)
    status, body = daemon.ask("GET", "/-/ready" if ready else "/-/healthy", SECONDS)
    if status == 200:
        click.echo("ready" if ready else "healthy")
        return
    click.echo(f"the daemon is not {'ready' if ready else 'healthy'}: {_reason(status, body)}", err=True)
    sys.exit(1)


def _reason(status: int, body: bytes) -> str:
    if status == 401:
        return "the admin listener needs a token: set WEBHOOK_ROUTER_ADMIN_TOKEN, or give --admin-token-file"
    try:
        checks = json.loads(body)
    except ValueError:
        checks = None
    if status == 503 and isinstance(checks, dict):
        broken = [name for name, works in checks.items() if works is False]
        if broken:
            return f"{', '.join(map(str, broken))} {'does' if len(broken) == 1 else 'do'} not work"
    return f"it answered {status}"
