"""Prints deliveries: as a table, or one with its attempts."""

import shutil
import sys
from collections.abc import Sequence

import click

from router.actions.registry import status_word
from router.cli.printing.colors import colored
from router.cli.printing.table import print_columns, print_fields, print_table
from router.cli.printing.text import local_time, safe, safe_lines, size, span
from router.domain.deliveries import Attempt, Delivery, State
from router.domain.groups import SkipReason
from router.domain.outcomes import Sent
from router.domain.stream import SkippedDelivery
from router.domain.target_state import Wait
from router.operate.held import hold_words
from router.operate.serialize import attempt_duration_ms
from router.operate.waits import Waiting, Waits

_WIDE = 130  #: the width of a terminal that shows a delivery on one line, in characters


def print_deliveries(deliveries: Sequence[Delivery], now: int, waits: Waits) -> None:
    """Print a table of deliveries; on a narrow terminal, two lines for each."""
    headings = ("id", "state", "rule/action", "target", "attempts", "next try", "age", "error")
    rows = [_delivery_cells(d, now, waits) for d in deliveries]
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or columns >= _WIDE:
        print_table(headings, rows, folding=("rule/action", "target", "error"))
        return
    short = [(id_, state, attempts, next_at, age) for id_, state, _, _, attempts, next_at, age, _ in [headings, *rows]]
    details = [
        f"  {action} to {target}{': ' + error if error else ''}" for _, _, action, target, _, _, _, error in rows
    ]
    print_columns(short, [line if len(line) <= columns else line[: columns - 1] + "…" for line in details])


def _delivery_cells(d: Delivery, now: int, waits: Waits) -> tuple[str, ...]:
    action = safe(f"{d.rule}/{d.action}" if d.item is None else f"{d.rule}/{d.action} {d.item}")
    age = span(now - d.created_at)
    why = skip_words(d) if d.state is State.SKIPPED else safe(d.error)
    return d.id, d.state.value, action, safe(d.target), str(d.attempts), next_try(d, now, waits), age, why


def next_try(d: Delivery, now: int, waits: Waits) -> str:
    """When the next attempt comes: `due`, `in 5m`, `in its turn`, `rate, in 59m`, `concurrency`; without a
    running daemon `due, no daemon`."""
    if d.state is not State.PENDING:
        return "-"
    waiting = waits.of(d, now)
    if waiting is None:
        return "due" if waits.running else "due, no daemon"
    if waiting.reason is Wait.ORDER:
        return "in its turn"
    if waiting.reason is Wait.LATEST:
        return "after the running one"
    if waiting.reason in (Wait.RETRY, Wait.WAIT) and waiting.until is not None:
        return f"in {span(waiting.until - now)}"
    return wait_words(waiting, now)


def skip_words(skipped: Delivery | SkippedDelivery) -> str:
    """Why a delivery is skipped: `a newer one replaces it, 0190…`."""
    reason = skipped.skip_reason if isinstance(skipped, Delivery) else skipped.reason
    return f"{'a newer' if reason is SkipReason.NEWER else 'an earlier'} one replaces it, {skipped.skipped_for}"


def wait_words(waiting: Waiting, now: int) -> str:
    """The reason for waiting, and for how long: `rate, in 59m`."""
    duration = "" if waiting.until is None else f", in {span(waiting.until - now)}"
    return f"{waiting.reason.value}{duration}"


_WAIT_TEXTS = {
    Wait.RATE: "due, waits for the target's rate",
    Wait.BREAKER: "due, waits for the target's breaker",
    Wait.CONCURRENCY: "due, waits for an attempt at the target to end",
    Wait.ORDER: "in its turn, waits for the end of an earlier delivery with the same order key",
    Wait.LATEST: "waits for a running attempt of an earlier delivery with the same latest_by value",
}


def _next_try_in_full(d: Delivery, now: int, waits: Waits) -> str:
    waiting = waits.of(d, now)
    if waiting is not None and waiting.hold is not None:
        end = (
            "" if waiting.until is None else f", continues in {span(waiting.until - now)} ({local_time(waiting.until)})"
        )
        return f"held, since {safe(hold_words(waiting.hold))}{end}"
    if waiting is None or waiting.reason not in _WAIT_TEXTS:
        return next_try(d, now, waits)
    until = "" if waiting.until is None else f", continues in {span(waiting.until - now)} ({local_time(waiting.until)})"
    return f"{_WAIT_TEXTS[waiting.reason]}{until}"


def print_delivery(d: Delivery, attempts: Sequence[Attempt], now: int, waits: Waits, next_ruleset: str | None) -> None:
    """Print a delivery with every attempt. `next_ruleset` is the hash of the rules that the next attempt uses."""
    next_try_text = f", {_next_try_in_full(d, now, waits)}" if d.state is State.PENDING else ""
    print_fields(
        [
            ("delivery", d.id),
            ("event", d.event_id),
            ("state", d.state.value + next_try_text),
            *([("skipped", skip_words(d))] if d.state is State.SKIPPED else []),
            ("rule/action", safe(f"{d.rule}/{d.action} ({d.type})")),
            ("target", safe(d.target)),
            *([("item", safe(d.item))] if d.item is not None else []),
            *([("order key", safe(d.order_key))] if d.order_key is not None else []),
            *([("latest_by", safe(d.latest_key))] if d.latest_key is not None else []),
            *([("once_by", safe(d.once_key))] if d.once_key is not None else []),
            ("planned", f"{local_time(d.created_at)} ({span(now - d.created_at)} ago)"),
            ("attempts", f"{d.attempts} counted since the first one or the last replay"),
            ("rules", _ruleset_text(d, next_ruleset, attempted=bool(attempts))),
            *([("error", safe(d.error))] if d.error else []),
        ]
    )
    for attempt in attempts:
        _print_attempt(attempt, now, status_word(d.type))


def _ruleset_text(d: Delivery, next_ruleset: str | None, *, attempted: bool) -> str:
    words = f"{d.ruleset[:12]} ({'last attempted by' if attempted else 'planned by'} them)"
    if next_ruleset is not None and next_ruleset != d.ruleset:
        words += f"; the next attempt goes by {next_ruleset[:12]}, which the daemon runs"
    return words


def _print_attempt(a: Attempt, now: int, status_name: str) -> None:
    ms = attempt_duration_ms(a)
    duration = "" if a.finished_at is None else f", took {'-' if ms is None else span(ms)}"
    outcome = a.outcome.value if a.outcome else f"under way for {span(now - a.started_at)}"
    status = "" if a.status is None else f", {status_name} {a.status}"
    click.echo(f"\nattempt {a.number}: {local_time(a.started_at)}{duration}: {colored('outcome', outcome)}{status}")
    if a.error:
        click.echo(f"  {safe(a.error)}")
    if a.sent is not None:
        _print_sent(a.sent)
    if a.excerpt:
        for line in safe_lines(a.excerpt.rstrip("\r\n")):
            click.echo(f"  | {line}".rstrip())


def _print_sent(sent: Sent) -> None:
    click.echo(f"  sent {safe(sent.method)} {safe(sent.url)}")
    for name, value in sent.headers:
        click.echo(f"    {safe(name)}: {safe(value)}")
    more = "…" if sent.size > len(sent.start.encode(errors="replace")) else ""
    click.echo(f"    body: {size(sent.size)}, sha256 {sent.sha256}")
    if sent.start:
        click.echo(f"      {safe(sent.start)}{more}")
