"""`webhook-router healthy`: queries a running daemon's probes, for health checks in images without an HTTP client."""

import http.client
import json
import os
import ssl
import sys
from pathlib import Path

import click

from router.cli.options import setting
from router.domain.errors import RouterError, StartError
from router.domain.files.bounded import Unreadable, read_file

SECONDS = 5.0  #: for the response; the usual timeout of a probe
_MAX_CERTIFICATE_BYTES = 1024 * 1024
_MAX_BYTES = 64 * 1024  #: that are read of a response, or of a token's file

_HELP = """Check that the daemon runs; with --ready, that it can take and deliver events.

\b
Examples:
  webhook-router healthy
  webhook-router healthy --ready --admin 127.0.0.1:8081

For health checks of containers and the like. An admin listener beyond loopback needs its token for every request: give
it with WEBHOOK_ROUTER_ADMIN_TOKEN or --admin-token-file, as to `serve`. Exit codes: 0 yes, 1 no, 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Check that the daemon runs, for health checks.")
@setting(
    "--admin",
    metavar="HOST:PORT",
    default="127.0.0.1:8081",
    help="Address of the daemon's admin listener.",
)
@setting(
    "--admin-token-file",
    type=click.Path(path_type=Path),
    help="File with the admin token. Needed if the admin listener is not on loopback.",
)
@setting(
    "--admin-tls-cert",
    type=click.Path(path_type=Path),
    help="Certificate of the admin listener, as given to `serve`. The connection uses TLS and trusts only this one.",
)
@click.option("--ready", is_flag=True, help="Query /-/ready: the store, the rules and the deliveries must work too.")
def healthy(admin: str, admin_token_file: Path | None, admin_tls_cert: Path | None, *, ready: bool) -> None:
    """Query the daemon."""
    from router.domain.listen_address import parse_listen_address  # noqa: PLC0415 - `--help` need not wait

    if admin == "off":
        raise click.UsageError("with --admin off nobody answers; let the daemon listen on loopback")
    try:
        listener = parse_listen_address(admin).from_here
    except StartError as error:
        raise click.UsageError(str(error)) from None
    tls = None if admin_tls_cert is None else _trust(admin_tls_cert)
    path = "/-/ready" if ready else "/-/healthy"
    status, body = _get(listener.host, listener.port, path, _token(admin_token_file), tls)
    if status == 200:
        click.echo("ready" if ready else "healthy")
        return
    click.echo(f"the daemon is not {'ready' if ready else 'healthy'}: {_reason(status, body)}", err=True)
    sys.exit(1)


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get("WEBHOOK_ROUTER_ADMIN_TOKEN", "")
    try:
        return read_file(file, _MAX_BYTES).decode("utf-8", "replace").strip()
    except Unreadable as error:
        raise RouterError(f"the token's file {file} can't be read: {error}") from None


def _trust(certificate: Path) -> ssl.SSLContext:
    """Trust the certificates in this file, whatever their names: the connection goes to an address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=read_file(certificate, _MAX_CERTIFICATE_BYTES).decode("ascii", "replace"))
    except Unreadable as error:
        raise RouterError(f"the certificate {certificate} can't be read: {error}") from None
    except (ssl.SSLError, ValueError):
        raise RouterError(f"there is no PEM certificate in {certificate}") from None
    return context


def _get(host: str, port: int, path: str, token: str, tls: ssl.SSLContext | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    if tls is not None:
        connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=tls)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read(_MAX_BYTES)
    except ssl.SSLError as error:
        reason = (error.reason or "no TLS").lower().replace("_", " ")
        raise RouterError(f"no TLS connection to the daemon at {host}:{port}: {reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = (
            os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no answer that makes sense"
        )
        raise RouterError(f"the daemon at {host}:{port} can't be asked: {reason}; does it run?") from None
    finally:
        connection.close()


def _reason(status: int, body: bytes) -> str:
    if status == 401:
        return "the admin listener wants a token: WEBHOOK_ROUTER_ADMIN_TOKEN, or --admin-token-file"
    try:
        checks = json.loads(body)
    except ValueError:
        checks = None
    if status == 503 and isinstance(checks, dict):
        broken = [name for name, works in checks.items() if works is False]
        if broken:
            return f"{', '.join(map(str, broken))} {'does' if len(broken) == 1 else 'do'} not work"
    return f"it answered {status}"
