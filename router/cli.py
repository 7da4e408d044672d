"""The command line: parses flags, calls the daemon's parts, and turns what they raise into exit codes."""

import errno
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

import click
import structlog

from router import __version__, logs
from router.commands.deliveries import deliveries
from router.commands.events import events
from router.commands.status import status
from router.commands.store import store as store_commands
from router.errors import Level, PayloadError, Problem, RouterError, RulesError, StartError, StoreError

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

_CHECK_HELP = """Check rules files: every problem with its line, column and cure.

\b
Examples:
  webhook-router check rules.yaml
  webhook-router check --strict --json rules/*.yaml
  webhook-router check --defaults rules.yaml           (what the schemes of its sources set)
  webhook-router check --explain-retry rules.yaml      (when each action is tried)
  webhook-router check --format github rules.yaml      (annotations in a GitHub workflow)

Secrets that are unset on this machine are notes, so that a file can be checked in CI; --require-secrets makes them
errors. Exit codes: 0 fine, 1 an error (with --strict: or a warning), 2 usage.
"""

_TEST_HELP = """Show which rules of RULES match a payload, and what each action would do; execute and verify nothing.

\b
Examples:
  webhook-router test rules.yaml --source github --payload push.json --header 'X-GitHub-Event: push'
  curl -s https://example.org/event | webhook-router test rules.yaml --source internal --payload -
  webhook-router test rules.yaml --source github --payload push.json --expect deploy-main --expect notify
  webhook-router test rules.yaml --source github --payload push.json --explain
  webhook-router test rules.yaml --cases rules.cases.yaml --junit report.xml
  webhook-router test rules.yaml --event 0190… --store sqlite:webhook-router.db

--expect names the exact set of rules that must match. Exit codes: 0 done, 1 not as expected (or a bad file), 2 usage.
"""


_SCHEMA_HELP = """Print the JSON Schema of a rules file, with which editors complete and check it.

\b
Examples:
  webhook-router schema > rules.schema.json
  # yaml-language-server: $schema=rules.schema.json      (as the first line of rules.yaml)
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="webhook-router")
def cli() -> None:
    """Route each webhook to the service, script or file it is meant for, by rules in one YAML file.

    \b
    webhook-router check rules.yaml       is the file right?
    webhook-router test rules.yaml …      what would it do with this payload?
    webhook-router serve rules.yaml       do it
    webhook-router status                 how does it go?
    """


for _command in (events, deliveries, status, store_commands):
    cli.add_command(_command)


@cli.command(help=_SERVE_HELP)
@click.argument("rules", type=click.Path(path_type=Path), default="rules.yaml")
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_LISTEN",
    help="Where events arrive.",
)
@click.option(
    "--admin",
    default="127.0.0.1:8081",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_ADMIN",
    help="Where /-/healthy and /-/ready answer; off: nowhere.",
)
@click.option(
    "--store",
    default="sqlite:webhook-router.db",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_STORE",
    help="Where events and deliveries are kept.",
)
@click.option(
    "--commands",
    default="any",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_COMMANDS",
    metavar="any|off|DIR",
    help="What commands rules may run: any, off (none), or only programs in DIR.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_GRACE",
    help="Seconds that a stop lets running attempts end by themselves.",
)
@click.option(
    "--trusted-proxies",
    default="",
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_TRUSTED_PROXIES",
    metavar="NETWORKS",
    help="Proxies whose X-Forwarded-For is believed, such as 127.0.0.1,10.0.0.0/8; none by default.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1, 100_000),
    default=1024,
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_MAX_CONNECTIONS",
    help="Connections of senders that are open at once; further ones wait.",
)
@click.option(
    "--request-timeout",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_REQUEST_TIMEOUT",
    help="Seconds that a sender has from a request's first byte to its last.",
)
@click.option(
    "--keep",
    default="7d",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_KEEP",
    metavar="DURATION",
    help="How long events stay in the store once all is done; forever: until somebody removes the store.",
)
@click.option(
    "--keep-dead",
    default="30d",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_KEEP_DEAD",
    metavar="DURATION",
    help="The same for events with a dead delivery; the longer of both counts.",
)
@click.option(
    "--log-level",
    type=click.Choice(logs.LEVELS),
    default="info",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_LOG_LEVEL",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_LOG_FORMAT",
    help="auto: text on a terminal, JSON otherwise.",
)
def serve(
    rules: Path,
    listen: str,
    admin: str,
    store: str,
    commands: str,
    grace: float,
    trusted_proxies: str,
    max_connections: int,
    request_timeout: float,
    keep: str,
    keep_dead: str,
    log_level: str,
    log_format: str,
) -> None:
    """Serve webhooks."""
    from router.app import App  # noqa: PLC0415 - `check` and `--help` need not wait for the server's imports
    from router.settings import Settings, address, networks, retention, store_path  # noqa: PLC0415

    logs.configure(log_level, log_format)
    try:
        settings = Settings(
            rules=rules,
            listen=address(listen),
            admin=None if admin == "off" else address(admin),
            store=store_path(store),
            commands=commands if commands in ("any", "off") else os.path.realpath(commands),
            grace=grace,
            trusted_proxies=networks(trusted_proxies),
            max_connections=max_connections,
            request_timeout=request_timeout,
            keep=retention(keep),
            keep_dead=retention(keep_dead),
        )
    except StartError as error:
        raise click.UsageError(str(error)) from None
    App(settings).run()


@cli.command(help=_CHECK_HELP)
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Warnings fail as well.")
@click.option("--require-secrets", is_flag=True, help="Unset secrets are errors.")
@click.option("--defaults", is_flag=True, help="Show each source's settings in force, those of its scheme included.")
@click.option("--explain-retry", is_flag=True, help="Show when each action is tried, and after which failures.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Problems as JSON: [{file, line, column, path, message, level}]; with --explain-retry {problems, retry}.",
)
@click.option("--format", "style", type=click.Choice(["text", "github"]), default="text", show_default=True)
def check(
    files: tuple[Path, ...],
    *,
    strict: bool,
    require_secrets: bool,
    defaults: bool,
    explain_retry: bool,
    as_json: bool,
    style: str,
) -> None:
    """Check rules files."""
    from router.printing import annotation, count, print_settings, problem_json  # noqa: PLC0415 - see serve
    from router.schedules import schedule_json, schedule_line  # noqa: PLC0415

    if defaults and as_json:
        raise click.UsageError("--defaults prints YAML; leave out --json")

    problems: list[Problem] = []
    schedules: list[dict[str, Any]] = []
    for file in files:
        loaded = _loader(require_secrets=require_secrets).load_file(file)
        problems += loaded.problems
        if loaded.ruleset is not None and not as_json:
            rules, sources = len(loaded.ruleset.rules), len(loaded.ruleset.sources)
            click.echo(f"{file}: fine, {count(rules, 'rule')}, {count(sources, 'source')}")
            if defaults:
                print_settings(loaded.ruleset)
        for action in _every_action(loaded.ruleset) if loaded.ruleset is not None and explain_retry else ():
            if as_json:
                schedules.append(schedule_json(str(file), action))
            else:
                click.echo(schedule_line(action))
    if as_json:
        listed = [problem_json(problem) for problem in problems]
        shown = {"problems": listed, "retry": schedules} if explain_retry else listed
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(annotation(problem) if style == "github" else str(problem), err=style == "text")
    bad = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    if any(problem.level in bad for problem in problems):
        sys.exit(FAILED)


@cli.command(name="test", help=_TEST_HELP)
@click.argument("rules", type=click.Path(path_type=Path), default="rules.yaml")
@click.option("--source", help="The source that the event comes in by; may be left out while there is one.")
@click.option("--payload", type=click.Path(), help="A file with the request's body; -: standard input.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header; repeatable.")
@click.option("--query", "queries", multiple=True, metavar="NAME=VALUE", help="A query parameter; repeatable.")
@click.option("--content-type", help="The body's type; application/json unless a header says otherwise.")
@click.option("--event", "event_id", help="Take an event from the store instead of a payload.")
@click.option(
    "--store",
    default="sqlite:webhook-router.db",
    show_default=True,
    show_envvar=True,
    envvar="WEBHOOK_ROUTER_STORE",
    help="For --event.",
)
@click.option("--expect", "expected", multiple=True, metavar="RULE", help="A rule that must match; repeatable.")
@click.option("--expect-none", is_flag=True, help="No rule must match.")
@click.option(
    "--cases", "cases", multiple=True, type=click.Path(path_type=Path), help="A file of rule tests; repeatable."
)
@click.option("--junit", type=click.Path(path_type=Path), help="With --cases: write a JUnit report there.")
@click.option("--explain", "explained", is_flag=True, help="Why each rule matched or did not.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
def test(
    rules: Path,
    source: str | None,
    payload: str | None,
    headers: tuple[str, ...],
    queries: tuple[str, ...],
    content_type: str | None,
    event_id: str | None,
    store: str,
    expected: tuple[str, ...],
    cases: tuple[Path, ...],
    junit: Path | None,
    *,
    expect_none: bool,
    explained: bool,
    as_json: bool,
) -> None:
    """Show what the rules would do."""
    from router.preview import made_event, preview  # noqa: PLC0415 - `--help` need not wait for it
    from router.printing import print_explained, print_preview  # noqa: PLC0415

    if cases:
        if payload or event_id or expected or expect_none:
            raise click.UsageError("--cases brings its own payloads and expectations")
        _test_cases(rules, cases, junit, as_json=as_json)
        return
    if (payload is None) == (event_id is None):
        raise click.UsageError("give exactly one of --payload, --event and --cases")
    if junit is not None:
        raise click.UsageError("--junit goes with --cases")
    if expected and expect_none:
        raise click.UsageError("--expect and --expect-none exclude each other")
    loaded = _loader(require_secrets=False).load_file(rules)
    if loaded.ruleset is None:
        _fail_with(loaded.problems)
    if event_id is not None:
        event = _stored_event(store, event_id)
    else:
        assert payload is not None
        chosen = _source(loaded.ruleset.sources, source)
        given = [_header(header) for header in headers]
        if content_type is None and "content-type" not in {name.lower() for name, _ in given}:
            content_type = "application/json"
        query = urlencode([_pair(pair) for pair in queries])
        event = made_event(chosen, _body(payload), given, query, content_type, time.time_ns() // 1_000_000)
    try:
        result = preview(loaded.ruleset, event, explained=explained)
    except PayloadError as error:
        _fail(f"the payload can't be parsed: {error}; such a request is answered 400")
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2, ensure_ascii=False))
    else:
        print_preview(result.as_json())
        for rule in result.explained or ():
            print_explained(rule)
    if (expected or expect_none) and set(result.matched) != set(expected):
        _fail(f"expected {_names(expected)} to match, but {_names(result.matched)} did")


@cli.command(help=_SCHEMA_HELP)
def schema() -> None:
    """Print the JSON Schema."""
    from router.app import REGISTRIES  # noqa: PLC0415 - see serve
    from router.rules.json_schema import json_schema  # noqa: PLC0415

    click.echo(json.dumps(json_schema(REGISTRIES), indent=2, ensure_ascii=False))


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
        structlog.get_logger().error(
            "unexpected fault; please report it", error=type(error).__name__, detail=str(error)
        )
    else:
        click.echo(f"webhook-router: unexpected fault; please report it: {type(error).__name__}: {error}", err=True)


def _loader(*, require_secrets: bool) -> Any:
    from router.app import REGISTRIES  # noqa: PLC0415 - see serve
    from router.rules.loader import Loader  # noqa: PLC0415

    return Loader(REGISTRIES, os.environ, require_secrets=require_secrets)


def _every_action(ruleset: Any) -> list[Any]:
    """In file order; those for events that no rule matched at the end."""
    return [*(action for rule in ruleset.rules for action in rule.actions), *ruleset.unmatched]


def _fail(message: str) -> NoReturn:
    click.echo(f"webhook-router: {message}", err=True)
    sys.exit(FAILED)


def _fail_with(problems: Sequence[Problem]) -> NoReturn:
    for problem in problems:
        click.echo(str(problem), err=True)
    sys.exit(FAILED)


def _names(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "no rule"


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"--header {text!r} is not NAME: VALUE")
    return name.strip(), value.strip()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--query {text!r} is not NAME=VALUE")
    return name, value


def _source(sources: Any, name: str | None) -> Any:
    if name is None and len(sources) == 1:
        return next(iter(sources.values()))
    if name is None:
        raise click.UsageError(f"give --source: one of {', '.join(sorted(sources))}")
    if name not in sources:
        raise click.UsageError(f"no source is called {name!r}; there is {', '.join(sorted(sources))}")
    return sources[name]


def _body(payload: str) -> bytes:
    if payload == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(payload).read_bytes()
    except OSError as error:
        _fail(f"the payload {payload} can't be read: {os.strerror(error.errno or 0)}")


def _stored_event(store: str, event_id: str) -> Any:
    from router.settings import store_path  # noqa: PLC0415 - see serve
    from router.store.sqlite import SqliteStore  # noqa: PLC0415

    try:
        path = store_path(store)
    except StartError as error:
        raise click.UsageError(str(error)) from None
    try:
        with closing(SqliteStore(path, create=False, own=False)) as opened:
            event = opened.event(event_id)
    except StoreError as error:
        _fail(str(error))
    if event is None:
        _fail(f"the store {path} has no event {event_id}")
    return event


def _test_cases(rules: Path, files: Sequence[Path], report: Path | None, *, as_json: bool) -> None:
    from router.cases import junit, run_cases  # noqa: PLC0415 - see serve
    from router.printing import print_cases  # noqa: PLC0415

    loaded = _loader(require_secrets=False).load_file(rules)
    if loaded.ruleset is None:
        _fail_with(loaded.problems)
    run = run_cases(loaded.ruleset, files, time.time_ns() // 1_000_000)
    if report is not None:
        try:
            report.write_text(junit(run), encoding="utf-8")
        except OSError as error:
            _fail(f"the report {report} can't be written: {os.strerror(error.errno or 0)}")
    print_cases(run, as_json=as_json)
    if run.failed:
        sys.exit(FAILED)
