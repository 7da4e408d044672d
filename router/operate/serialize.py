"""Events, deliveries, attempts and problems as JSON, for the commands' `--json` and the admin API.

Text from senders is unchanged: JSON writes control characters as escapes.
"""

import base64
from collections.abc import Mapping
from typing import Any

from router.domain.deliveries import Attempt, Delivery, State
from router.domain.errors import Problem
from router.domain.events import Event
from router.domain.outcomes import OutcomeKind, Sent
from router.domain.summaries import EventHead
from router.operate.json_times import times
from router.operate.waits import Waits


def delivery_json(d: Delivery, waits: Waits, now: int) -> dict[str, Any]:
    """A delivery as `--json` prints it."""
    waiting = waits.of(d, now)
    return {
        "id": d.id,
        "event": d.event_id,
        "rule": d.rule,
        "action": d.action,
        "type": d.type,
        "target": d.target,
        "order_key": d.order_key,
        "state": d.state.value,
        "blocked": d.blocked or d.behind,
        "attempts": d.attempts,
        "interruptions": d.interruptions,
        **times(
            created_at=d.created_at,
            first_attempt_at=d.first_attempt_at,
            next_attempt_at=d.next_attempt_at if d.state is State.PENDING else None,
        ),
        "waits_for": waiting.reason.value if waiting else None,
        **times(waits_until=waiting.until if waiting else None),
        "error": d.error,
        "ruleset": d.ruleset,
        **item_json(d.item, d.item_index),
        "latest_key": d.latest_key,
        "once_key": d.once_key,
        "skip_reason": d.skip_reason.value if d.skip_reason else None,
        "skipped_for": d.skipped_for,
    }


def item_json(place: str | None, index: int | None) -> dict[str, Any]:
    """The item of a delivery by `for_each`; both are null for others."""
    return {"item": place, "item_index": index}


def attempt_duration_ms(a: Attempt) -> int | None:
    """How long an attempt took, in ms. None while it runs, and when the daemon ended during the attempt: the store then
    has its start as its end."""
    if a.finished_at is None or (a.outcome is OutcomeKind.INTERRUPTED and a.finished_at == a.started_at):
        return None
    return a.finished_at - a.started_at


def attempt_json(a: Attempt) -> dict[str, Any]:
    """An attempt as `--json` prints it."""
    return {
        "number": a.number,
        **times(started_at=a.started_at, finished_at=a.finished_at),
        "duration_ms": attempt_duration_ms(a),
        "outcome": a.outcome.value if a.outcome else None,
        "status": a.status,
        "error": a.error,
        "excerpt": a.excerpt,
        "sent": None if a.sent is None else sent_json(a.sent),
    }


def sent_json(sent: Sent) -> dict[str, Any]:
    """The request of an attempt, as `--json` prints it."""
    return {
        "method": sent.method,
        "url": sent.url,
        "headers": [list(pair) for pair in sent.headers],
        "size": sent.size,
        "sha256": sent.sha256,
        "start": sent.start,
    }


def event_json(e: Event) -> dict[str, Any]:
    """An event without its body as `--json` prints it."""
    return {
        "id": e.id,
        "source": e.source,
        "method": e.method,
        "path": e.path,
        "query": e.query,
        "ip": e.ip,
        **times(received_at=e.received_at),
        "headers": [list(pair) for pair in e.headers],
        "size": e.size,
        "dedupe_key": e.dedupe_key,
        **({"hidden": True} if e.hidden_size is not None else {}),
    }


def body_json(body: bytes) -> dict[str, str]:
    """A body as text, or in base64 if it is not UTF-8."""
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def event_head_json(e: EventHead) -> dict[str, Any]:
    """An event in a list as `--json` prints it."""
    return {
        "id": e.id,
        "source": e.source,
        "method": e.method,
        "path": e.path,
        "ip": e.ip,
        **times(received_at=e.received_at),
        "size": e.size,
        "deliveries": states_json(e.deliveries),
    }


def states_json(counts: Mapping[State, int]) -> dict[str, int]:
    """Counts by state, in the order of a delivery's life."""
    return {state.value: counts[state] for state in State if counts.get(state)}


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem as `--json` prints it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "level": problem.level.value,
    }
