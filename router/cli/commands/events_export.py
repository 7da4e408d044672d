"""`webhook-router events export`: write an event as a rule test, a command or a body."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.cli.options import open_store, store_option
from router.cli.resolve import resolve_id

if TYPE_CHECKING:
    from router.rules.ruleset import Ruleset
    from router.store.contract import OperatorStore

from router.cli.failure import fail, ruleset_of
from router.cli.options import running_ruleset

_HELP = """Write an event as a rule test, as a curl command, or just its body.

\b
Examples:
  webhook-router events export last --as case >> cases.yaml     (then: webhook-router test --cases cases.yaml)
  webhook-router events export 0190… --as curl | sh
  webhook-router events export 0190… --as payload > push.json

A case expects what the running rules do with the event, so it passes at first. Change what it expects to what is right,
then correct the rules until it passes again. Headers and query parameters with credentials and signatures are left out;
standard error names them. A payload is written as it is: look for secrets in it before you share it.

Exit codes: 0 done, 1 there is no such event or no store, or the rules can't be used, 2 wrong usage.
"""


@click.command(help=_HELP)
@click.argument("event_id", metavar="ID")
@click.option("--as", "form", type=click.Choice(["case", "curl", "payload"]), required=True, help="What to write.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    help="With --as case: the rules file whose result is expected.  [default: the running rules]",
)
@click.option("--to", metavar="URL", help="With --as curl: the daemon's address.  [default: http://127.0.0.1:8080]")
@store_option
def export(event_id: str, form: str, rules: Path | None, to: str | None, store: str) -> None:
    """Write one event."""
    from router.cli.printing.events import print_body  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.text import safe  # noqa: PLC0415
    from router.domain.errors import PayloadError  # noqa: PLC0415
    from router.operate.export_event import as_case, as_curl  # noqa: PLC0415
    from router.operate.ids import find_event  # noqa: PLC0415

    for flag, given, of in (("--rules", rules, "case"), ("--to", to, "curl")):
        if given is not None and form != of:
            raise click.UsageError(f"{flag} needs --as {of}")
    with closing(open_store(store)) as opened:
        event = opened.event(resolve_id(opened, event_id, find_event))
        if event is None:
            fail("the event was pruned in the meantime")
        ruleset = _expected_rules(opened, rules) if form == "case" else None
    if form == "payload":
        print_body(event.body)
        return
    if ruleset is None:
        exported = as_curl(event, to or "http://127.0.0.1:8080")
    elif event.source not in ruleset.sources:
        fail(f"these rules have no source {safe(event.source)}; name other rules: --rules FILE")
    else:
        try:
            exported = as_case(event, ruleset)
        except PayloadError as error:
            fail(f"the payload can't be parsed by these rules: {error}")
    click.echo(exported.text, nl=False)
    for note in exported.notes:
        click.echo(safe(note), err=True)


def _expected_rules(store: "OperatorStore", rules: Path | None) -> "Ruleset":
    if rules is not None:
        return ruleset_of(rules)
    return running_ruleset(store) or fail(
        "the store has no recorded rules that still compile; name the rules file: --rules FILE"
    )
