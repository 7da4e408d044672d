"""`webhook-router tail`: events and attempts as they come."""

import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from router.cli.named import tell_of_unknown
from router.cli.options import json_option, moment, open_store, store_option
from router.domain.deliveries import State
from router.domain.errors import StoreError
from router.domain.outcomes import OutcomeKind
from router.domain.stream import Arrival

if TYPE_CHECKING:
    from router.operate.follow import News, Which
    from router.store.contract import OperatorStore

_HELP = """Follow events and attempts live, one line each, until Ctrl-C.

\b
Examples:
  webhook-router tail
  webhook-router tail --source github
  webhook-router tail --failed --since 1h
  webhook-router tail --json | jq 'select(.kind == "attempt" and .duration_ms > 1000)'

It reads the store beside the daemon, and goes on while that is stopped or started anew. An attempt is shown once it has
ended. A filter shows the events that have a delivery it fits, and those deliveries' attempts.
Exit codes: 0 ended by Ctrl-C, 1 the store can't be read or was replaced, 2 usage.
"""
_POLL_SECONDS = 0.1  #: people call that at once; a look that finds nothing new costs some 10 microseconds
_LINES = 10  #: as tail shows, which people know
_LONGEST_ERROR = 300  #: characters; `deliveries show` has all


@click.command(help=_HELP, short_help="Follow events and attempts live.")
@click.option("--source", metavar="SOURCE", help="Only what came in by this source.")
@click.option("--rule", metavar="RULE", help="Only deliveries of this rule, and their events.")
@click.option("--target", metavar="TARGET", help="Only deliveries to this target, and their events.")
@click.option("--failed", is_flag=True, help="Only attempts that did not succeed.")
@click.option("--since", callback=moment, metavar="TIME", help="Begin there: 10m (ago), or an ISO 8601 time.")
@click.option(
    "--lines",
    type=click.IntRange(0, 10_000),
    default=_LINES,
    show_default=True,
    help="Begin with as many of what came last; not with --since.",
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
    from router.operate.follow import Follower, Which, latest  # noqa: PLC0415 - `--help` need not wait

    which = Which(source, rule, target, failed)
    show = _show_json if as_json else _show
    with closing(open_store(store)) as opened:
        tell_of_unknown(opened, which)
        try:
            if since is None:
                follower, shown = latest(opened, lines, which)
                _show_all(shown, which, show)
            else:
                follower = Follower(opened, opened.position_at(since))
            _follow(opened, lambda: _show_all(follower.news(), which, show))
        except KeyboardInterrupt:
            pass


def _follow(store: "OperatorStore", look: Callable[[], None]) -> None:
    """Look after each commit, for ever. Raises StoreError once the store is replaced."""
    pause, seen = _pause(), None
    while True:
        # Before the look, so that what is committed during it leads to another one.
        changes = store.changes()
        if changes != seen:
            seen = changes
            look()
        elif store.is_replaced():
            raise StoreError(f"the store {store.location} was replaced or removed; start tail again")
        pause()


def _pause() -> Callable[[], None]:
    """Waits a little; raises BrokenPipeError once nobody reads what is written, which else only the next line shows."""
    reader = select.poll()
    try:
        reader.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # no file at all
        return lambda: time.sleep(_POLL_SECONDS)

    def pause() -> None:
        if reader.poll(_POLL_SECONDS * 1000):
            raise BrokenPipeError

    return pause


def _show_all(news: "Iterable[News]", which: "Which", show: "Callable[[News], str]") -> None:
    """A line for each, in pieces: a write for each line would keep up with few."""
    lines: list[str] = []
    for one in news:
        if which.wants(one):
            lines.append(show(one))
        if len(lines) == 500:
            click.echo("\n".join(lines), color=_color())
            lines.clear()
    if lines:
        click.echo("\n".join(lines), color=_color())


def _color() -> bool | None:
    """None: on a terminal (no-color.org)."""
    return False if os.environ.get("NO_COLOR") else None


def _show_json(news: "News") -> str:
    from router.operate.serialize import times, took  # noqa: PLC0415 - `--help` need not wait

    if isinstance(news, Arrival):
        shown: dict[str, Any] = {
            "kind": "event",
            "event": news.id,
            "source": news.source,
            "method": news.method,
            "path": news.path,
            **times(received_at=news.received_at),
            "size": news.size,
            "matched": _rules(news),
            "deliveries": len(news.plan),
        }
    else:
        a = news.attempt
        shown = {
            "kind": "attempt",
            "event": news.event_id,
            "source": news.source,
            "delivery": news.delivery_id,
            "rule": news.rule,
            "action": news.action,
            "type": news.type,
            "target": news.target,
            "state": news.state.value,
            "last": news.is_last,
            "number": a.number,
            **times(started_at=a.started_at, finished_at=a.finished_at),
            "duration_ms": took(a),
            "outcome": a.outcome.value if a.outcome else None,
            "status": a.status,
            "error": a.error,
        }
    return json.dumps(shown, ensure_ascii=False)


def _rules(event: Arrival) -> list[str]:
    return list(dict.fromkeys(rule for rule, _, _ in event.plan))


_COLORS = {
    OutcomeKind.SUCCEEDED: "green",
    OutcomeKind.RETRY: "yellow",
    OutcomeKind.FAILED: "red",
    OutcomeKind.INTERRUPTED: "yellow",
}


def _show(news: "News") -> str:
    from router.actions.registry import status_prefix  # noqa: PLC0415 - `--help` need not wait
    from router.cli.tables import safe, size, span  # noqa: PLC0415
    from router.operate.serialize import took  # noqa: PLC0415

    if isinstance(news, Arrival):
        rules = ", ".join(safe(rule) for rule in _rules(news))
        matched = click.style(rules, bold=True) if rules else click.style("no rule matched", dim=True)
        what = f"{safe(news.source)} {safe(news.method)} {safe(news.path)} {size(news.size)} -> {matched}"
        return f"{_clock(news.received_at)} {news.id} {what}"
    a = news.attempt
    outcome = a.outcome or OutcomeKind.INTERRUPTED
    word = "dead" if news.state is State.DEAD and news.is_last else outcome.value
    result = click.style(word, fg="red" if word == "dead" else _COLORS[outcome])
    number = "" if a.status is None else f" {status_prefix(news.type)}{a.status}"
    place = f"{safe(news.source)} {safe(news.rule)}/{safe(news.action)} #{a.number}"
    error = f": {safe(a.error[:_LONGEST_ERROR])}" if a.error else ""
    lasted = took(a)
    shown = "-" if lasted is None else span(lasted)
    return f"{_clock(a.finished_at or a.started_at)} {news.event_id} {place} {result}{number} {shown}{error}"


def _clock(at: int) -> str:
    """The time of the day here, with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
