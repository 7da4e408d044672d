"""One event: its request, why each rule matched or not, and its deliveries."""

import os
from collections.abc import Mapping

import orjson

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html, see_other
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.domain.errors import PayloadError
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.reply import Reply
from router.operate.reroute import Reroute, RerouteReport
from router.operate.scan import NO_LIMIT
from router.operate.status import waits_of
from router.rules.dry_run.preview import preview

SHOWN_BYTES = 256 * 1024  #: of a body; the whole one is a download away
_MOST_RULES = 200  #: that are explained; the rest are counted
_MOST_DELIVERIES = 1_000


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, fields: Mapping[str, str]) -> Reply:
    event = event_of(daemon, fields["id"])
    deliveries = daemon.store.deliveries(Filter(event_id=event.id), limit=_MOST_DELIVERIES)
    try:
        found, error = preview(daemon.ruleset(), event, explained=True, most=_MOST_RULES), ""
    except PayloadError as problem:
        found, error = None, str(problem)
    text = render(
        "event.html", session=session, here="/events", event=event, deliveries=deliveries, now=read.now,
        waits=waits_of(daemon.store, os.getpid()), found=found, error=error, body=shown_body(event.body),
        unexplained=max(0, len(daemon.ruleset().rules) - _MOST_RULES), done=read.one("done"),
    )  # fmt: skip
    return html(text)


def _reroute(daemon: DaemonHandle, _: PageRequest, __: Session, fields: Mapping[str, str]) -> Reply:
    event = event_of(daemon, fields["id"])
    report = RerouteReport(dry_run=False)
    if not daemon.changing.acquire(blocking=False):
        raise Problem(503, "another replay, cancel or reroute is under way; try again in a moment")
    try:
        work = Reroute(daemon.store, daemon.ruleset(), report, daemon.now_ms, again=False, limit=NO_LIMIT)
        work.by_ids([event.id])
    finally:
        daemon.changing.release()
    return see_other(f"/events/{event.id}?done=reroute")


def event_of(daemon: DaemonHandle, event_id: str) -> Event:
    """The event of an address. Raises Problem, StoreError."""
    event = daemon.store.event(event_id)
    if event is None:
        raise Problem(404, "the store has no event with this id; old events are removed after a time")
    return event


def shown_body(body: bytes) -> str:
    """The body as text: JSON with indents, numbers as they were sent; bytes that are no text as escapes."""
    part = body[:SHOWN_BYTES]
    text = part.decode("utf-8", "backslashreplace")
    return _indented(text) if len(body) <= SHOWN_BYTES else text


def _indented(text: str) -> str:
    """JSON with indents. Numbers and escapes stay as they are written, so nothing is parsed into values."""
    try:
        orjson.loads(text)
    except ValueError:
        return text
    made, depth, at, end = [], 0, 0, len(text)
    while at < end:
        character = text[at]
        if character == '"':
            close = _after_string(text, at)
            made.append(text[at:close])
            at = close
            continue
        if character in "[{":
            closing = _next_sign(text, at + 1)
            if closing is not None and text[closing] in "]}":
                made.append(character + text[closing])
                at = closing + 1
                continue
            depth += 1
            made.append(character + "\n" + "  " * min(depth, 40))
        elif character in "]}":
            depth -= 1
            made.append("\n" + "  " * min(depth, 40) + character)
        elif character == ",":
            made.append(",\n" + "  " * min(depth, 40))
        elif character == ":":
            made.append(": ")
        elif not character.isspace():
            made.append(character)
        at += 1
    return "".join(made)


def _after_string(text: str, at: int) -> int:
    close = at + 1
    while text[close] != '"':
        close += 2 if text[close] == "\\" else 1
    return close + 1


def _next_sign(text: str, at: int) -> int | None:
    while at < len(text) and text[at].isspace():
        at += 1
    return at if at < len(text) else None


VIEWS = (
    View("/events/{id}", _show),
    View("/events/{id}/reroute", _reroute, ("POST",), acts=True),
)
