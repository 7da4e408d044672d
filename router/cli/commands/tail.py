"""`webhook-router tail`: prints events and attempts as they are committed."""

import json
import select
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from router.cli.options import json_option, open_store, store_option, time_value
from router.cli.printing.colors import colors_on
from router.cli.resolve import print_unknown_names
from router.domain.deliveries import State
from router.domain.errors import StoreError
from router.domain.outcomes import OutcomeKind
from router.domain.stream import Arrival, EndedAttempt, SkippedDelivery

if TYPE_CHECKING:
    from router.operate.follow import StreamFilter, StreamItem
    from router.store.contract import OperatorStore

_HELP = """Follow events and attempts live, one line each, until Ctrl-C.

\b
Examples:
  webhook-router tail
  webhook-router tail --source github
  webhook-router tail --failed --since 1h
  webhook-router tail --json | jq 'select(.kind == "attempt" and .duration_ms > 1000)'

It reads the daemon's store, and keeps following while the daemon is stopped or restarted. An attempt is printed when it
has ended. A delivery is printed when it is skipped for another one (latest_by, once_by). With --rule or --target, only
the matching deliveries and their events are printed.
Exit codes: 0 ended by Ctrl-C, 1 the store can't be read or was replaced, 2 wrong usage.
"""
_POLL_SECONDS = 0.1  #: feels immediate; a poll that finds nothing new takes some 10 microseconds
_LINES = 10  #: as tail(1) prints by default
_ERROR_CHARS = 300  #: of an error on a line; `deliveries show` prints all


@click.command(help=_HELP, short_help="Follow events and attempts live.")
@click.option("--source", metavar="SOURCE", help="Only events from this source.")
@click.option("--rule", metavar="RULE", help="Only deliveries of this rule, and their events.")
@click.option("--target", metavar="TARGET", help="Only deliveries to this target, and their events.")
@click.option("--failed", is_flag=True, help="Only attempts that did not succeed.")
@click.option(
    "--since", callback=time_value, metavar="TIME", help="Begin at this time: 10m (ago), or an ISO 8601 time."
)
@click.option(
    "--lines",
    type=click.IntRange(0, 10_000),
    default=_LINES,
    show_default=True,
    help="Begin with this many last lines. Ignored with --since.",
)
@store_option
@json_option
def tail(
    source: str | None,
    rule: str | None,
    target: str | None,
    since: int | None,
    lines: int,
    store: str,
    *,
    failed: bool,
    as_json: bool,
) -> None:
    """Follow events and attempts."""
    from router.operate.follow import Follower, StreamFilter, latest  # noqa: PLC0415 - `--help` need not wait

    which = StreamFilter(source, rule, target, failed)
    line_of = _json_line if as_json else _text_line
    with closing(open_store(store)) as opened:
        print_unknown_names(opened, which)
        try:
            if since is None:
                follower, last = latest(opened, lines, which)
                _print_lines(last, which, line_of)
            else:
                follower = Follower(opened, opened.position_at(since))
            _follow(opened, lambda: _print_lines(follower.new_items(), which, line_of))
        except KeyboardInterrupt:
            pass


def _follow(store: "OperatorStore", print_new: Callable[[], None]) -> None:
    """Print after each commit, for ever. Raises StoreError once the store is replaced."""
    pause, seen = _pause(), None
    while True:
        # Read before printing, so that a commit during the printing counts as a new change.
        changes = store.changes()
        if changes != seen:
            seen = changes
            print_new()
        elif store.is_replaced():
            raise StoreError(f"the store {store.location} was replaced or removed; start tail again")
        pause()


def _pause() -> Callable[[], None]:
    """A function that waits for one poll interval. It raises BrokenPipeError once the reader of our output is gone."""
    reader = select.poll()
    try:
        reader.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # standard output is not a file
        return lambda: time.sleep(_POLL_SECONDS)

    def pause() -> None:
        if reader.poll(_POLL_SECONDS * 1000):
            raise BrokenPipeError

    return pause


def _print_lines(items: "Iterable[StreamItem]", which: "StreamFilter", line_of: "Callable[[StreamItem], str]") -> None:
    """Print a line for each item, 500 with one write: single writes would be too slow for a busy daemon."""
    lines: list[str] = []
    for item in items:
        if which.matches(item):
            lines.append(line_of(item))
        if len(lines) == 500:
            click.echo("\n".join(lines), color=colors_on())
            lines.clear()
    if lines:
        click.echo("\n".join(lines), color=colors_on())


def _json_line(item: "StreamItem") -> str:
    if isinstance(item, Arrival):
        content = _arrival_json(item)
    elif isinstance(item, SkippedDelivery):
        content = _skip_json(item)
    else:
        content = _attempt_json(item)
    return json.dumps(content, ensure_ascii=False)


def _arrival_json(item: Arrival) -> dict[str, Any]:
    from router.operate.json_times import times  # noqa: PLC0415 - `--help` need not wait

    return {
        "kind": "event",
        "event": item.id,
        "source": item.source,
        "method": item.method,
        "path": item.path,
        **times(received_at=item.received_at),
        "size": item.size,
        "matched": _rules(item),
        "deliveries": len(item.plan),
    }


def _skip_json(item: SkippedDelivery) -> dict[str, Any]:
    from router.operate.json_times import times  # noqa: PLC0415 - `--help` need not wait

    return {
        "kind": "skip",
        **_delivery_json(item),
        "state": State.SKIPPED.value,
        **times(skipped_at=item.at),
        "reason": item.reason.value,
        "skipped_for": item.skipped_for,
    }


def _attempt_json(item: EndedAttempt) -> dict[str, Any]:
    from router.operate.json_times import times  # noqa: PLC0415 - `--help` need not wait
    from router.operate.serialize import attempt_duration_ms  # noqa: PLC0415

    attempt = item.attempt
    return {
        "kind": "attempt",
        **_delivery_json(item),
        "state": item.state.value,
        "last": item.is_last,
        "number": attempt.number,
        **times(started_at=attempt.started_at, finished_at=attempt.finished_at),
        "duration_ms": attempt_duration_ms(attempt),
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "status": attempt.status,
        "error": attempt.error,
    }


def _delivery_json(item: SkippedDelivery | EndedAttempt) -> dict[str, Any]:
    return {
        "event": item.event_id,
        "source": item.source,
        "delivery": item.delivery_id,
        "rule": item.rule,
        "action": item.action,
        "type": item.type,
        "target": item.target,
    }


def _rules(event: Arrival) -> list[str]:
    return list(dict.fromkeys(rule for rule, _, _ in event.plan))


_COLORS = {
    OutcomeKind.SUCCEEDED: "green",
    OutcomeKind.RETRY: "yellow",
    OutcomeKind.FAILED: "red",
    OutcomeKind.INTERRUPTED: "yellow",
}


def _text_line(item: "StreamItem") -> str:
    from router.actions.registry import status_prefix  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.deliveries import skip_words  # noqa: PLC0415
    from router.cli.printing.text import safe, size, span  # noqa: PLC0415
    from router.operate.serialize import attempt_duration_ms  # noqa: PLC0415

    if isinstance(item, Arrival):
        rules = ", ".join(safe(rule) for rule in _rules(item))
        matched = click.style(rules, bold=True) if rules else click.style("no rule matched", dim=True)
        what = f"{safe(item.source)} {safe(item.method)} {safe(item.path)} {size(item.size)} -> {matched}"
        return f"{_clock(item.received_at)} {item.id} {what}"
    if isinstance(item, SkippedDelivery):
        route = f"{safe(item.source)} {safe(item.rule)}/{safe(item.action)}"
        return f"{_clock(item.at)} {item.event_id} {route} {click.style('skipped', dim=True)}: {skip_words(item)}"
    a = item.attempt
    outcome = a.outcome or OutcomeKind.INTERRUPTED
    word = "dead" if item.state is State.DEAD and item.is_last else outcome.value
    result = click.style(word, fg="red" if word == "dead" else _COLORS[outcome])
    number = "" if a.status is None else f" {status_prefix(item.type)}{a.status}"
    route = f"{safe(item.source)} {safe(item.rule)}/{safe(item.action)} #{a.number}"
    error = f": {safe(a.error[:_ERROR_CHARS])}" if a.error else ""
    ms = attempt_duration_ms(a)
    duration = "-" if ms is None else span(ms)
    return f"{_clock(a.finished_at or a.started_at)} {item.event_id} {route} {result}{number} {duration}{error}"


def _clock(at: int) -> str:
    """The local time of day, with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
