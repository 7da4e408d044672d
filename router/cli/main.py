"""The command line: parses flags, calls the daemon's parts, and turns what they raise into exit codes."""

import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
import structlog

from router import __version__
from router.cli.commands.check import check
from router.cli.commands.deliveries import deliveries
from router.cli.commands.events import events
from router.cli.commands.healthy import healthy
from router.cli.commands.init import init, offer_rules
from router.cli.commands.send import send
from router.cli.commands.status import status
from router.cli.commands.store import store as store_commands
from router.cli.commands.tail import tail
from router.cli.commands.test import test
from router.cli.options import setting, store_option
from router.domain.errors import RouterError, RulesError, StartError
from router.observe.logging import libraries as log_libraries
from router.observe.logging import setup as logs

FAILED, USAGE, NOT_STARTED = 1, 2, 3
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)  #: as a full disk says it

_SERVE_HELP = """Serve webhooks by the rules in RULES (default: rules.yaml).

\b
Examples:
  webhook-router serve
  webhook-router serve rules.yaml --listen 0.0.0.0:8080
  webhook-router serve rules.yaml --store sqlite:/var/lib/webhook-router/events.db

Every flag has an environment name, such as WEBHOOK_ROUTER_LISTEN. The rules reload when the file changes, and on
SIGHUP. SIGTERM and SIGINT stop: intake first, then running attempts within --grace, then the store.
Exit codes: 0 stopped as asked, 2 usage, 3 could not start.
"""


_SCHEMA_HELP = """Print the JSON Schema of a rules file, with which editors complete and check it.

\b
Examples:
  webhook-router schema > rules.schema.json
  # yaml-language-server: $schema=rules.schema.json      (as the first line of rules.yaml)
"""


_OPENAPI_HELP = """Print the OpenAPI document of the admin listener: its paths, parameters and answers.

\b
Examples:
  webhook-router openapi > openapi.json
  webhook-router openapi | jq '.paths | keys'
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="webhook-router")
def cli() -> None:
    """Route each webhook to the service, script or file it is meant for, by rules in one YAML file.

    \b
    webhook-router init                   write a rules file to start from
    webhook-router check rules.yaml       is the file right?
    webhook-router test rules.yaml …      what would it do with this payload?
    webhook-router serve rules.yaml       do it
    webhook-router send FILE --source S   post it a payload, signed as the provider would
    webhook-router tail                   watch it
    webhook-router status                 how does it go?
    webhook-router deliveries list        what became of each?
    """


for _command in (init, check, test, send, events, deliveries, status, tail, healthy, store_commands):
    cli.add_command(_command)


@cli.command(help=_SERVE_HELP)
@click.argument("rules", type=click.Path(path_type=Path), default="rules.yaml")
@setting(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    help="Where events arrive.",
)
@setting(
    "--admin",
    metavar="HOST:PORT|off",
    default="127.0.0.1:8081",
    help="Where probes, metrics, reload and the API answer; off: nowhere.",
)
@setting(
    "--admin-token-file",
    type=click.Path(path_type=Path),
    help="A file with the admin token; else $WEBHOOK_ROUTER_ADMIN_TOKEN, else one is made beside the store.",
)
@setting(
    "--admin-hosts",
    default="",
    metavar="NAMES",
    help="Names by which the admin listener may be called, with commas, besides its addresses and localhost.",
)
@store_option
@setting(
    "--commands",
    default="any",
    metavar="any|off|DIR",
    help="What commands rules may run: any, off (none), or only programs in DIR.",
)
@setting(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=10.0,
    help="Seconds that a stop lets running attempts end by themselves.",
)
@setting(
    "--trusted-proxies",
    default="",
    metavar="NETWORKS",
    help="Proxies whose X-Forwarded-For is believed, such as 127.0.0.1,10.0.0.0/8; none by default.",
)
@setting(
    "--max-connections",
    type=click.IntRange(1, 100_000),
    default=1024,
    help="Connections of senders that are open at once; beyond it those that have asked nothing useful are cut.",
)
@setting(
    "--server",
    type=click.Choice(["own", "waitress"]),
    default="own",
    help="What serves the intake: our own HTTP server, or waitress, which is simpler and slower.",
)
@setting(
    "--tls-cert",
    type=click.Path(path_type=Path),
    help="Serve the intake by TLS: a PEM file with the server's certificate and those that lead to its authority.",
)
@setting(
    "--tls-key",
    type=click.Path(path_type=Path),
    help="The certificate's private key, PEM without a passphrase; by default it is in the certificate's file.",
)
@setting(
    "--tls-client-ca",
    type=click.Path(path_type=Path),
    help="Take only clients with a certificate that one of the authorities in this PEM file has signed (mTLS).",
)
@setting("--admin-tls-cert", type=click.Path(path_type=Path), help="The same of the admin listener.")
@setting("--admin-tls-key", type=click.Path(path_type=Path), help="The same of the admin listener.")
@setting("--admin-tls-client-ca", type=click.Path(path_type=Path), help="The same of the admin listener.")
@setting(
    "--request-timeout",
    type=click.FloatRange(1, 3600),
    default=60.0,
    help="Seconds that a sender has from a request's first byte to its last.",
)
@setting(
    "--keep",
    default="7d",
    metavar="DURATION",
    help="How long events stay in the store once all is done; forever: until somebody removes the store.",
)
@setting(
    "--keep-dead",
    default="30d",
    metavar="DURATION",
    help="The same for events with a dead delivery; the longer of both counts.",
)
@setting(
    "--log-level",
    type=click.Choice(logs.LEVELS),
    default="info",
    help="The least that is logged.",
)
@setting(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    help="auto: text on a terminal, JSON otherwise.",
)
def serve(
    rules: Path,
    listen: str,
    admin: str,
    admin_token_file: Path | None,
    admin_hosts: str,
    store: str,
    commands: str,
    grace: float,
    trusted_proxies: str,
    max_connections: int,
    server: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    admin_tls_cert: Path | None,
    admin_tls_key: Path | None,
    admin_tls_client_ca: Path | None,
    request_timeout: float,
    keep: str,
    keep_dead: str,
    log_level: str,
    log_format: str,
) -> None:
    """Serve webhooks."""
    from router.daemon.app import App  # noqa: PLC0415 - `check` and `--help` need not wait for the server's imports
    from router.daemon.settings import Settings, host_names, networks, retention, tls_files  # noqa: PLC0415
    from router.domain.listen_address import parse_listen_address  # noqa: PLC0415
    from router.store.location import store_path  # noqa: PLC0415

    try:
        settings = Settings(
            rules=rules,
            listen=parse_listen_address(listen),
            admin=None if admin == "off" else parse_listen_address(admin),
            store=store_path(store),
            commands=commands if commands in ("any", "off") else os.path.realpath(commands),
            grace=grace,
            trusted_proxies=networks(trusted_proxies),
            admin_token_file=admin_token_file,
            admin_hosts=host_names(admin_hosts),
            max_connections=max_connections,
            server=server,
            tls=tls_files("--tls", tls_cert, tls_key, tls_client_ca),
            admin_tls=tls_files("--admin-tls", admin_tls_cert, admin_tls_key, admin_tls_client_ca),
            request_timeout=request_timeout,
            keep=retention(keep),
            keep_dead=retention(keep_dead),
        )
    except StartError as error:
        raise click.UsageError(str(error)) from None
    if settings.tls is not None and server == "waitress":
        raise click.UsageError("--tls-cert needs --server own: waitress speaks no TLS")
    if not os.path.lexists(rules):
        offer_rules(rules)
    lines = logs.configure(log_level, log_format)
    log_libraries.listen()
    App(settings, lines_lost=lambda: lines.lost).run()


@cli.command(help=_SCHEMA_HELP, short_help="Print the JSON Schema of the rules file, for editors.")
def schema() -> None:
    """Print the JSON Schema."""
    from router.daemon.registries import REGISTRIES  # noqa: PLC0415 - see serve
    from router.rules.compile.json_schema import json_schema  # noqa: PLC0415

    click.echo(json.dumps(json_schema(REGISTRIES), indent=2, ensure_ascii=False))


@cli.command(help=_OPENAPI_HELP, short_help="Print the OpenAPI document of the admin listener.")
def openapi() -> None:
    """Print the document."""
    from router.admin.api.openapi import document  # noqa: PLC0415 - see serve
    from router.admin.api.routes import ENDPOINTS  # noqa: PLC0415

    click.echo(json.dumps(document(ENDPOINTS), indent=2, ensure_ascii=False))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; the one place that turns exceptions into exit codes."""
    _open_standard_streams()
    try:
        result = cli.main(arguments, prog_name="webhook-router", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()  # what can't be written has to be told here, not at exit
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except RulesError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        click.echo("webhook-router: could not start: the rules file has problems, listed above", err=True)
        code = NOT_STARTED
    except StartError as error:
        click.echo(f"webhook-router: could not start: {error}", err=True)
        code = NOT_STARTED
    except RouterError as error:
        click.echo(f"webhook-router: {error}", err=True)
        code = FAILED
    except BrokenPipeError:
        # Whoever read our output has gone; nothing may be written to it at exit either.
        _drop_output()
        code = FAILED
    except Exception as error:  # noqa: BLE001 - the border of the program: no traceback reaches a user
        _tell_of(error)
        code = FAILED
    sys.exit(code)


def _open_standard_streams() -> None:
    """Let closed ones be the null device: else the next file or socket, such as the store, would get their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 - until the end


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_of(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno in _UNWRITABLE and error.filename is None:
        _drop_output()
        click.echo(f"webhook-router: the output can't be written: {error.strerror}", err=True)
    elif structlog.is_configured():
        structlog.get_logger().error("unexpected fault; please report it", exc_info=error)
    else:
        click.echo(f"webhook-router: unexpected fault; please report it: {type(error).__name__}: {error}", err=True)
