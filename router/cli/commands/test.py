"""`webhook-router test`: shows what the rules would do with a payload, and runs rule tests."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlencode

import click

from router.cli.options import loader, now_ms, open_store, rules_argument, store_option_for
from router.cli.request_flags import (
    at_path,
    body_of,
    chosen_source,
    header_of,
    parameter_of,
    received_at_of,
    sender_profile,
    with_event,
)
from router.cli.resolve import resolve_id
from router.domain.errors import PayloadError, Problem

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
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header; repeatable.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A named part of the path; repeatable.")
@click.option("--query", "queries", multiple=True, metavar="NAME=VALUE", help="A query parameter; repeatable.")
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
    source: str | None,
    payload: str | None,
    headers: tuple[str, ...],
    params: tuple[str, ...],
    queries: tuple[str, ...],
    content_type: str | None,
    received_at: str | None,
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
    from router.cli.printing.preview import print_explained, print_preview  # noqa: PLC0415
    from router.cli.sender.request import usual_type_of  # noqa: PLC0415 - `--help` need not wait
    from router.rules.dry_run.preview import made_event, preview  # noqa: PLC0415

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
    loaded = loader(require_secrets=False).load_file(rules)
    if loaded.ruleset is None:
        _fail_with(loaded.problems)
    now = now_ms() if received_at is None else received_at_of(received_at)
    if payload is None:
        assert event_id is not None  # checked above
        event = _own_example(loaded.ruleset, event_id, now) or _stored_event(store, event_id)
        event = event if received_at is None else replace(event, received_at=now)
    else:
        chosen = at_path(chosen_source(loaded.ruleset.sources, source), params)
        if chosen.poll is not None:
            expecting = list(expected) if expected or expect_none else None
            given = {"--query": queries, "--event": event_id}
            answer = _Answer(body_of(payload), [header_of(header) for header in headers], content_type, given)
            _test_answer(loaded.ruleset, chosen, answer, expecting, now, explained=explained, as_json=as_json)
            return
        profile = sender_profile(chosen)
        request_headers = with_event([header_of(header) for header in headers], event_id, profile, chosen)
        body = body_of(payload)
        if content_type is None and "content-type" not in {name.lower() for name, _ in request_headers}:
            content_type = usual_type_of(profile, body)
        query = urlencode([parameter_of(pair) for pair in queries])
        event = made_event(chosen, body, request_headers, query, content_type, now)
    try:
        result = preview(loaded.ruleset, event, arriving=payload is not None, explained=explained)
    except PayloadError as error:
        _fail(f"the payload can't be parsed: {error}; such a request is answered 400")
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2, ensure_ascii=False))
    else:
        print_preview(result.as_json())
        for rule in result.explained or ():
            print_explained(rule)
    if expected or expect_none:
        _check_expected(result, expected)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A recorded answer to a poll."""

    body: bytes
    headers: Sequence[tuple[str, str]]
    content_type: str | None
    given: Mapping[str, object]  #: flags that fit only requests of senders


def _test_answer(
    ruleset: "Ruleset",
    source: "Source",
    answer: _Answer,
    expected: Sequence[str] | None,
    now: int,
    *,
    explained: bool,
    as_json: bool,
) -> None:
    """Show what the events of a recorded answer would do. Each rule in `expected` must match at least one of them."""
    from router.cli.printing.polls import beginning  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.preview import print_explained, print_preview  # noqa: PLC0415
    from router.rules.dry_run.answer import preview_answer, together  # noqa: PLC0415

    for flag, value in answer.given.items():
        if value:
            raise click.UsageError(
                f"{flag} does not fit: source {source.name} is polled, so --payload is a recorded answer of the service"
            )
    typed = next((value for name, value in answer.headers if name.lower() == "content-type"), None)
    try:
        content_type = answer.content_type or typed
        shown = preview_answer(ruleset, source, answer.body, content_type, now, explained=explained)
    except PayloadError as error:
        _fail(f"the answer can't be read: {error}; such a poll fails")
    if as_json:
        click.echo(json.dumps({"events": [one.as_json() for one in shown]}, indent=2, ensure_ascii=False))
    elif not shown:
        click.echo("The answer has no items, so it gives no event.")
    for number, one in enumerate(() if as_json else shown, 1):
        click.echo(f"event {number} of {len(shown)}: {beginning(one.event.body)}")
        print_preview(one.shown.as_json())
        for rule in one.shown.explained or ():
            print_explained(rule)
    if expected is not None:
        _check_expected(together(ruleset, source, [one.shown for one in shown]), expected)


def _check_expected(result: "Preview", expected: Sequence[str]) -> None:
    if set(result.matched) != set(expected):
        _fail(f"expected {_names(expected)} to match, but {_names(result.matched)} did")
    if dead := [delivery.dead_at_once for delivery in result.deliveries if delivery.error is not None]:
        _fail("; ".join(dead))


def _names(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "no rule"


def _own_example(ruleset: "Ruleset", kind: str, now: int) -> "Event | None":
    """The example of a kind of the router's own events; None for an id."""
    from router.domain.nearest_word import did_you_mean  # noqa: PLC0415 - `--help` need not wait
    from router.domain.own_events import KINDS, SOURCE, sample_event  # noqa: PLC0415

    if "." not in kind:
        return None
    if kind not in KINDS:
        _fail(f'the router has no own event "{kind}"{did_you_mean(kind, KINDS)}')
    if SOURCE in ruleset.sources:
        _fail(f'"{SOURCE}" is a source of this file, so no rule can listen to the router\'s own events; rename it')
    return sample_event(kind, now)


def _stored_event(store: str, event_id: str) -> "Event":
    from router.operate.ids import find_event  # noqa: PLC0415 - `--help` need not wait

    with closing(open_store(store)) as opened:
        event_id = resolve_id(opened, event_id, find_event)
        event = opened.event(event_id)
    if event is None:
        _fail(f"the event {event_id} was pruned in the meantime")
    return event


def _test_cases(rules: Path, files: Sequence[Path], report: Path | None, *, as_json: bool) -> None:
    from router.cli.printing.cases import print_cases  # noqa: PLC0415
    from router.rules.dry_run.cases import run_cases  # noqa: PLC0415 - `--help` need not wait
    from router.rules.dry_run.junit import junit  # noqa: PLC0415

    loaded = loader(require_secrets=False).load_file(rules)
    if loaded.ruleset is None:
        _fail_with(loaded.problems)
    run = run_cases(loaded.ruleset, files, now_ms())
    if report is not None:
        try:
            report.write_text(junit(run), encoding="utf-8")
        except OSError as error:
            _fail(f"the report {report} can't be written: {os.strerror(error.errno or 0)}")
    print_cases(run, as_json=as_json)
    if run.failed:
        sys.exit(1)


def _fail(message: str) -> NoReturn:
    click.echo(f"webhook-router: {message}", err=True)
    sys.exit(1)


def _fail_with(problems: Sequence[Problem]) -> NoReturn:
    for problem in problems:
        click.echo(str(problem), err=True)
    sys.exit(1)
