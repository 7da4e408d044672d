"""`webhook-router test`: shows what the rules would do with a payload, and runs rule tests."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from router.cli.failure import fail, ruleset_of
from router.cli.options import now_ms, open_store, rules_argument, store_option_for
from router.cli.request_flags import (
    at_path,
    body_of,
    chosen_source,
    header_of,
    parameter_of,
    received_at_of,
    request_options,
    sender_profile,
    with_event,
)
from router.cli.resolve import resolve_id
from router.domain.errors import PayloadError

if TYPE_CHECKING:
    from router.domain.events import Event
    from router.rules.dry_run.preview import Preview
    from router.rules.ruleset import Ruleset
    from router.rules.source import Source
_HELP = """Show which rules match a payload, and what each action would do. Runs no action, checks no signature.

\b
Examples:
  webhook-router test rules.yaml --source github --payload push.json --header 'X-GitHub-Event: push'
  curl -s https://example.org/event | webhook-router test rules.yaml --source internal --payload -
  webhook-router test rules.yaml --source github --payload push.json --expect deploy-main --expect notify
  webhook-router test rules.yaml --source github --payload push.json --explain
  webhook-router test rules.yaml --cases rules.cases.yaml --junit report.xml
  webhook-router test rules.yaml --event last --store sqlite:webhook-router.db
  webhook-router test rules.yaml --event delivery.dead
  curl -s https://api.example.com/v1/jobs | webhook-router test rules.yaml --source jobs --payload -

RULES is the rules file (default: rules.yaml). For a polled source the payload is a recorded answer of the service, and
each of its items is an event. With --expect, exactly the named rules must match. Exit codes: 0 done,
1 not as expected, or a file is invalid, 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Show what the rules would do with a payload.")
@rules_argument()
@click.option("--source", metavar="SOURCE", help="The source that receives it. Needed if the rules file has several.")
@click.option("--payload", type=click.Path(), help="A file with the request's body. -: standard input.")
@request_options
@click.option(
    "--content-type",
    metavar="TYPE",
    help="Content type of the body. Default: that of --header; else JSON, XML or multipart, as the body looks.",
)
@click.option("--received-at", metavar="TIME", help="When it was received: 2024-05-01T09:30:00+02:00. Default: now.")
@click.option(
    "--event",
    "event_id",
    metavar="ID",
    help="Test a stored event instead of a payload (an id, the beginning of one, or last), or an example of one of the "
    "router's own events, such as delivery.dead.",
)
@store_option_for("The store that has the --event.")
@click.option("--expect", "expected", multiple=True, metavar="RULE", help="A rule that must match; repeatable.")
@click.option("--expect-none", is_flag=True, help="No rule may match.")
@click.option(
    "--cases",
    "cases",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run the rule tests in this file; repeatable.",
)
@click.option("--junit", type=click.Path(path_type=Path), help="With --cases: write a JUnit report to this file.")
@click.option("--explain", "explained", is_flag=True, help="Print why each rule matches or does not.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def test(
    rules: Path,
    event_id: str | None,
    received_at: str | None,
    store: str,
    expected: tuple[str, ...],
    cases: tuple[Path, ...],
    junit: Path | None,
    *,
    expect_none: bool,
    explained: bool,
    as_json: bool,
    **request: Any,
) -> None:
    """Show what the rules would do."""
    from router.rules.dry_run.preview import preview  # noqa: PLC0415 - `--help` need not wait

    payload = request["payload"]
    if cases:
        if payload or event_id or expected or expect_none or received_at:
            raise click.UsageError(
                "--cases can't go with --payload, --event, --expect or --received-at: the file has them"
            )
        _test_cases(rules, cases, junit, as_json=as_json)
        return
    if payload is None and event_id is None:
        raise click.UsageError("give one of --payload, --event and --cases")
    if junit is not None:
        raise click.UsageError("--junit needs --cases")
    if expected and expect_none:
        raise click.UsageError("give --expect or --expect-none, not both")
    ruleset = ruleset_of(rules)
    now = now_ms() if received_at is None else received_at_of(received_at)
    expecting = list(expected) if expected or expect_none else None
    if payload is None:
        assert event_id is not None  # checked above
        event = _own_example(ruleset, event_id, now) or _stored_event(store, event_id)
        event = event if received_at is None else replace(event, received_at=now)
    else:
        flags = _RequestFlags(**request, event=event_id)
        source = at_path(chosen_source(ruleset.sources, flags.source), flags.params)
        if source.poll is not None:
            _test_answer(ruleset, source, flags, expecting, now, explained=explained, as_json=as_json)
            return
        event = _made_event(source, flags, now)
    try:
        result = preview(ruleset, event, arriving=payload is not None, explained=explained)
    except PayloadError as error:
        fail(f"the payload can't be parsed: {error}; such a request is answered 400")
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2, ensure_ascii=False))
    else:
        _print(result)
    if expecting is not None:
        _check_expected(result, expecting)


@dataclass(frozen=True, slots=True)
class _RequestFlags:
    """The flags that make up a request, or a recorded answer to a poll."""

    source: str | None
    payload: str
    headers: tuple[str, ...]
    params: tuple[str, ...]
    queries: tuple[str, ...]
    content_type: str | None
    event: str | None  #: the provider's word for the kind of event


def _made_event(source: "Source", flags: _RequestFlags, now: int) -> "Event":
    """The event of the request. Raises UsageError, RouterError."""
    from router.cli.sender.request import usual_type_of  # noqa: PLC0415 - `--help` need not wait
    from router.rules.dry_run.preview import made_event  # noqa: PLC0415

    profile = sender_profile(source)
    headers = with_event([header_of(header) for header in flags.headers], flags.event, profile, source)
    body, content_type = body_of(flags.payload), flags.content_type
    if content_type is None and "content-type" not in {name.lower() for name, _ in headers}:
        content_type = usual_type_of(profile, body)
    query = urlencode([parameter_of(pair) for pair in flags.queries])
    return made_event(source, body, headers, query, content_type, now)


def _test_answer(
    ruleset: "Ruleset",
    source: "Source",
    flags: _RequestFlags,
    expected: Sequence[str] | None,
    now: int,
    *,
    explained: bool,
    as_json: bool,
) -> None:
    """Show what the events of a recorded answer would do. Each rule in `expected` must match at least one of them."""
    from router.cli.printing.polls import beginning  # noqa: PLC0415 - `--help` need not wait
    from router.rules.dry_run.answer import preview_answer, together  # noqa: PLC0415

    body, headers = body_of(flags.payload), [header_of(header) for header in flags.headers]
    for flag, value in (("--query", flags.queries), ("--event", flags.event)):
        if value:
            raise click.UsageError(
                f"{flag} does not fit: source {source.name} is polled, so --payload is a recorded answer of the service"
            )
    typed = next((value for name, value in headers if name.lower() == "content-type"), None)
    try:
        content_type = flags.content_type or typed
        shown = preview_answer(ruleset, source, body, content_type, now, explained=explained)
    except PayloadError as error:
        fail(f"the answer can't be read: {error}; such a poll fails")
    if as_json:
        click.echo(json.dumps({"events": [one.as_json() for one in shown]}, indent=2, ensure_ascii=False))
    elif not shown:
        click.echo("The answer has no items, so it gives no event.")
    for number, one in enumerate(() if as_json else shown, 1):
        click.echo(f"event {number} of {len(shown)}: {beginning(one.event.body)}")
        _print(one.shown)
    if expected is not None:
        _check_expected(together(ruleset, source, [one.shown for one in shown]), expected)


def _print(result: "Preview") -> None:
    from router.cli.printing.preview import print_explained, print_preview  # noqa: PLC0415 - `--help` need not wait

    print_preview(result.as_json())
    for rule in result.explained or ():
        print_explained(rule)


def _check_expected(result: "Preview", expected: Sequence[str]) -> None:
    if set(result.matched) != set(expected):
        fail(f"expected {_names(expected)} to match, but {_names(result.matched)} did")
    if dead := [delivery.dead_at_once for delivery in result.deliveries if delivery.error is not None]:
        fail("; ".join(dead))


def _names(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "no rule"


def _own_example(ruleset: "Ruleset", kind: str, now: int) -> "Event | None":
    """The example of a kind of the router's own events; None for an id."""
    from router.domain.nearest_word import did_you_mean  # noqa: PLC0415 - `--help` need not wait
    from router.domain.own_events import KINDS, SOURCE, sample_event  # noqa: PLC0415

    if "." not in kind:
        return None
    if kind not in KINDS:
        fail(f'the router has no own event "{kind}"{did_you_mean(kind, KINDS)}')
    if SOURCE in ruleset.sources:
        fail(f'"{SOURCE}" is a source of this file, so no rule can listen to the router\'s own events; rename it')
    return sample_event(kind, now)


def _stored_event(store: str, event_id: str) -> "Event":
    from router.operate.ids import find_event  # noqa: PLC0415 - `--help` need not wait

    with closing(open_store(store)) as opened:
        event_id = resolve_id(opened, event_id, find_event)
        event = opened.event(event_id)
    if event is None:
        fail(f"the event {event_id} was pruned in the meantime")
    return event


def _test_cases(rules: Path, files: Sequence[Path], report: Path | None, *, as_json: bool) -> None:
    from router.cli.printing.cases import print_cases  # noqa: PLC0415
    from router.rules.dry_run.cases import run_cases  # noqa: PLC0415 - `--help` need not wait
    from router.rules.dry_run.junit import junit  # noqa: PLC0415

    run = run_cases(ruleset_of(rules), files, now_ms())
    if report is not None:
        try:
            report.write_text(junit(run), encoding="utf-8")
        except OSError as error:
            fail(f"the report {report} can't be written: {os.strerror(error.errno or 0)}")
    print_cases(run, as_json=as_json)
    if run.failed:
        sys.exit(1)
