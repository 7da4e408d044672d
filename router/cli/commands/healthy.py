"""`webhook-router healthy`: asks a running daemon how it is, for health checks that have no other program at hand."""

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

SECONDS = 5.0  #: for the answer; probes give up after so long as well
_MOST_CERTIFICATE = 1024 * 1024  #: bytes
_MOST = 64 * 1024  #: bytes of an answer that are read, or of a token's file

_HELP = """Ask the daemon of this machine whether it lives, or with --ready whether it works.

\b
Examples:
  webhook-router healthy
  webhook-router healthy --ready --admin 127.0.0.1:8081

For health checks of containers and the like. An admin listener that is not on loopback wants its token from everybody:
give it by WEBHOOK_ROUTER_ADMIN_TOKEN or --admin-token-file, as to `serve`. Exit codes: 0 yes, 1 no, 2 usage.
"""


@click.command(help=_HELP, short_help="Ask a running daemon whether it lives, for health checks.")
@setting(
    "--admin",
    metavar="HOST:PORT",
    default="127.0.0.1:8081",
    help="Where the daemon's admin listener is.",
)
@setting(
    "--admin-token-file",
    type=click.Path(path_type=Path),
    help="The token's file, where the admin listener wants one of everybody.",
)
@setting(
    "--admin-tls-cert",
    type=click.Path(path_type=Path),
    help="The certificate that the daemon shows, as given to `serve`: it is asked by TLS, and no other is trusted.",
)
@click.option("--ready", is_flag=True, help="Ask /-/ready: whether store, rules and deliveries work as well.")
def healthy(admin: str, admin_token_file: Path | None, admin_tls_cert: Path | None, *, ready: bool) -> None:
    """Ask the daemon how it is."""
    from router.domain.listen_address import parse_listen_address  # noqa: PLC0415 - `--help` need not wait

    if admin == "off":
        raise click.UsageError("with --admin off nobody answers; let the daemon listen on loopback")
    try:
        asked = parse_listen_address(admin).from_here
    except StartError as error:
        raise click.UsageError(str(error)) from None
    tls = None if admin_tls_cert is None else _trust(admin_tls_cert)
    path = "/-/ready" if ready else "/-/healthy"
    status, body = _ask(asked.host, asked.port, path, _token(admin_token_file), tls)
    if status == 200:
        click.echo("ready" if ready else "healthy")
        return
    click.echo(f"the daemon is not {'ready' if ready else 'healthy'}: {_reason(status, body)}", err=True)
    sys.exit(1)


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get("WEBHOOK_ROUTER_ADMIN_TOKEN", "")
    try:
        return read_file(file, _MOST).decode("utf-8", "replace").strip()
    except Unreadable as error:
        raise RouterError(f"the token's file {file} can't be read: {error}") from None


def _trust(certificate: Path) -> ssl.SSLContext:
    """Trust what this file holds, whatever name is in it: the daemon is asked by an address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=read_file(certificate, _MOST_CERTIFICATE).decode("ascii", "replace"))
    except Unreadable as error:
        raise RouterError(f"the certificate {certificate} can't be read: {error}") from None
    except (ssl.SSLError, ValueError):
        raise RouterError(f"there is no PEM certificate in {certificate}") from None
    return context


def _ask(host: str, port: int, path: str, token: str, tls: ssl.SSLContext | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    if tls is not None:
        connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=tls)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read(_MOST)
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
        found = json.loads(body)
    except ValueError:
        found = None
    if status == 503 and isinstance(found, dict):
        broken = [name for name, works in found.items() if works is False]
        if broken:
            return f"{', '.join(map(str, broken))} {'does' if len(broken) == 1 else 'do'} not work"
    return f"it answered {status}"
