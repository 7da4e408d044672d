"""`webhook-router serve`: runs the daemon."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.commands.init import offer_rules
from router.cli.options import rules_argument, setting, store_option
from router.domain.errors import StartError, StoreUrlError

if TYPE_CHECKING:
    from router.daemon.settings import Settings

_HELP = """Run the daemon: receive webhooks and deliver them by the rules in RULES (default: rules.yaml).

\b
Examples:
  webhook-router serve
  webhook-router serve rules.yaml --listen 0.0.0.0:8080
  webhook-router serve rules.yaml --store sqlite:/var/lib/webhook-router/events.db
  webhook-router serve /etc/webhook-router/rules.d          (all *.yaml of a folder)

Each flag can be set by an environment variable, such as WEBHOOK_ROUTER_LISTEN. The rules are reloaded when the file
changes, and on SIGHUP. SIGTERM and SIGINT stop the daemon: it stops receiving, lets running attempts end within
--grace, and closes the store. Exit codes: 0 stopped by a signal, 2 wrong usage, 3 could not start.
"""


@click.command(help=_HELP, short_help="Run the daemon.")
@rules_argument(envvar="WEBHOOK_ROUTER_RULES")
@setting(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    help="Address that receives webhooks.",
)
@setting(
    "--admin",
    metavar="HOST:PORT|off",
    default="127.0.0.1:8081",
    help="Address of probes, metrics, reload, the API and the page; off: no such listener.",
)
@setting(
    "--admin-token-file",
    type=click.Path(path_type=Path),
    help="File with the admin token. Default: $WEBHOOK_ROUTER_ADMIN_TOKEN, or a generated token file beside the store.",
)
@setting(
    "--admin-read-token-file",
    type=click.Path(path_type=Path),
    help="File with a second token, which is read-only. Default: $WEBHOOK_ROUTER_ADMIN_READ_TOKEN, or none.",
)
@setting(
    "--admin-hosts",
    default="",
    metavar="NAMES",
    help="Further host names of the admin listener, separated by commas. Its address and localhost always work.",
)
@setting(
    "--admin-url",
    default="",
    metavar="URL",
    help="Address of the page behind a proxy that ends TLS, such as https://router.example.net. Everything then needs "
    "the token.",
)
@store_option
@setting(
    "--roles",
    default="intake,delivery",
    metavar="ROLES",
    help="What this node of a PostgreSQL store does: intake, delivery, or both.",
)
@setting(
    "--actions",
    default="",
    metavar="TYPES",
    help="Types of actions that this node delivers, such as forward,command. Default: all.",
)
@setting("--node", default="", metavar="NAME", help="Name of this node, for status and logs. Default: the host's name.")
@setting(
    "--lease",
    type=click.FloatRange(3, 600),
    default=15.0,
    help="Seconds after which other nodes take over the running deliveries of a node that is gone.",
)
@setting(
    "--commands",
    default="any",
    metavar="any|off|DIR",
    help="Commands that rules may run: any, off (none), or only programs in DIR.",
)
@setting(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=10.0,
    help="Seconds that running attempts may take to end when the daemon stops.",
)
@setting(
    "--trusted-proxies",
    default="",
    metavar="NETWORKS",
    help="Proxies whose X-Forwarded-For is trusted, such as 127.0.0.1,10.0.0.0/8. Default: none.",
)
@setting(
    "--max-connections",
    type=click.IntRange(1, 100_000),
    default=1024,
    help="Open connections from senders. Above it, connections without an accepted request are closed first.",
)
@setting(
    "--server",
    type=click.Choice(["own", "waitress"]),
    default="own",
    help="HTTP server that receives webhooks: the built-in one, or waitress, which is simpler and slower.",
)
@setting(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    help="Processes that receive webhooks. One is enough up to some 1,000 events a second.",
)
@setting(
    "--tls-cert",
    type=click.Path(path_type=Path),
    help="Receive webhooks over TLS: PEM file with the server's certificate and the chain to its authority.",
)
@setting(
    "--tls-key",
    type=click.Path(path_type=Path),
    help="Private key of the certificate, PEM without a passphrase. Default: in the certificate's file.",
)
@setting(
    "--tls-client-ca",
    type=click.Path(path_type=Path),
    help="Require a client certificate that an authority in this PEM file has signed (mTLS).",
)
@setting("--admin-tls-cert", type=click.Path(path_type=Path), help="The same for the admin listener.")
@setting("--admin-tls-key", type=click.Path(path_type=Path), help="The same for the admin listener.")
@setting("--admin-tls-client-ca", type=click.Path(path_type=Path), help="The same for the admin listener.")
@setting(
    "--request-timeout",
    type=click.FloatRange(1, 3600),
    default=60.0,
    help="Seconds from a request's first byte to its last.",
)
@setting(
    "--keep",
    default="7d",
    metavar="DURATION",
    help="How long an event stays in the store after its last delivery ended; forever: no limit.",
)
@setting(
    "--keep-dead",
    default="30d",
    metavar="DURATION",
    help="The same for events with a dead delivery. The longer of both applies.",
)
@setting(
    "--backlog-old",
    default="1h",
    metavar="DURATION",
    help="Age of a target's oldest waiting delivery from which the router's own event backlog.old tells of it.",
)
@setting(
    "--disk-low",
    default="1GiB",
    metavar="SIZE",
    help="Free space on the store's disk below which the router's own event disk.low tells of it.",
)
@setting(
    "--source-failing",
    default="5m",
    metavar="DURATION",
    help="Time that polls of a source fail after which the router's own event source.failing tells of it.",
)
@setting(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="Lowest level that is logged.",
)
@setting(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    help="auto: text on a terminal, JSON otherwise.",
)
def serve(**given: Any) -> None:
    """Serve webhooks."""
    settings = settings_from(given)
    if settings.processes > 1:
        from router.daemon.processes.forkserver import warm_up  # noqa: PLC0415

        warm_up()  # it loads its modules while this process loads the same
    from router.daemon.app import App  # noqa: PLC0415 - `--help` need not wait
    from router.daemon.processes.start import Logging  # noqa: PLC0415
    from router.observe.logging import libraries as log_libraries  # noqa: PLC0415
    from router.observe.logging import setup as logs  # noqa: PLC0415

    if not os.path.lexists(settings.rules):
        offer_rules(settings.rules)
    level, style = given["log_level"], given["log_format"]
    lines = logs.configure(level, style)
    log_libraries.listen()
    App(settings, lines=lines, logging=Logging(level, style)).run()


def settings_from(given: Mapping[str, Any]) -> "Settings":
    """The daemon's settings from the values of the flags, by their names. Raises UsageError."""
    from router.actions.registry import ACTIONS  # noqa: PLC0415 - `--help` need not wait
    from router.daemon.settings import (  # noqa: PLC0415
        Settings,
        host_names,
        names_of,
        networks,
        retention,
        tells,
        tls_files,
    )
    from router.domain.external_url import parse_external_url  # noqa: PLC0415
    from router.domain.listen_address import parse_listen_address  # noqa: PLC0415
    from router.store.fleet import ROLES  # noqa: PLC0415
    from router.store.location import store_location  # noqa: PLC0415

    admin, commands = given["admin"], given["commands"]
    try:
        settings = Settings(
            rules=given["rules"],
            listen=parse_listen_address(given["listen"]),
            admin=None if admin == "off" else parse_listen_address(admin),
            store=store_location(given["store"]),
            commands=commands if commands in ("any", "off") else os.path.realpath(commands),
            grace=given["grace"],
            roles=names_of(given["roles"], "--roles", ROLES),
            actions=names_of(given["actions"], "--actions", tuple(ACTIONS)),
            node=given["node"],
            lease=given["lease"],
            trusted_proxies=networks(given["trusted_proxies"]),
            admin_token_file=given["admin_token_file"],
            admin_read_token_file=given["admin_read_token_file"],
            admin_hosts=host_names(given["admin_hosts"]),
            admin_url=parse_external_url(given["admin_url"]) if given["admin_url"] else None,
            max_connections=given["max_connections"],
            server=given["server"],
            processes=given["processes"],
            tls=tls_files("--tls", given["tls_cert"], given["tls_key"], given["tls_client_ca"]),
            admin_tls=tls_files(
                "--admin-tls", given["admin_tls_cert"], given["admin_tls_key"], given["admin_tls_client_ca"]
            ),
            request_timeout=given["request_timeout"],
            keep=retention(given["keep"]),
            keep_dead=retention(given["keep_dead"]),
            tells=tells(given["backlog_old"], given["disk_low"], given["source_failing"]),
        )
    except StoreUrlError:
        raise
    except StartError as error:
        raise click.UsageError(str(error)) from None
    _check_together(settings)
    return settings


def _check_together(settings: "Settings") -> None:
    """Raises UsageError for flags that don't fit together, or don't fit this Python."""
    if settings.processes > 1 and sys.version_info < (3, 11, 1):
        raise click.UsageError("--processes needs Python 3.11.1 or newer: 3.11.0 lets other users in (CVE-2022-42919)")
    if settings.admin_url is not None and settings.admin is None:
        raise click.UsageError("--admin-url needs the admin listener: leave out --admin off")
    _check_node(settings)
    if settings.server == "waitress":
        if settings.tls is not None:
            raise click.UsageError("--tls-cert needs --server own: waitress speaks no TLS")
        if settings.processes > 1:
            raise click.UsageError("--processes needs --server own: waitress serves in one process, with threads")


def _check_node(settings: "Settings") -> None:
    if not settings.roles:
        raise click.UsageError("--roles: write intake, delivery, or both")
    if "delivery" not in settings.roles and settings.actions:
        raise click.UsageError("--actions needs the role delivery")
    if isinstance(settings.store, Path) and (settings.actions or len(settings.roles) < 2):
        raise click.UsageError("--roles and --actions need --store postgresql://…: a SQLite store has one daemon")


def from_environment() -> tuple["Settings", str, str]:
    """The settings of `serve` without flags, and the level and format of its log. Raises StartError."""
    try:
        with serve.make_context("serve", []) as context:
            given = context.params
            return settings_from(given), given["log_level"], given["log_format"]
    except click.ClickException as error:
        raise StartError(error.format_message()) from None
