"""One event: its request, why each rule matched or not, and its deliveries. It can be planned again."""

from collections.abc import Mapping
from contextlib import nullcontext

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html, see_other
from router.admin.page.payloads import hidden_note, sees_payloads
from router.admin.page.render import render
from router.admin.page.rules_work import rules_work
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.domain.errors import PayloadError
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.own_events import is_own
from router.domain.reply import Reply
from router.operate.body_tree import TreeNode, body_tree
from router.operate.explain_event import ExplainedEvent
from router.operate.reroute import Reroute, RerouteReport
from router.operate.scan import NO_LIMIT
from router.operate.status import waits_of
from router.rules.own_source import OWN_SOURCE

SHOWN_BYTES = 128 * 1024  #: of a body as text; the whole one is a download away
_MOST_RULES = 200  #: rules that are explained; the rest are counted
_MOST_DELIVERIES = 200


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, fields: Mapping[str, str]) -> Reply:
    event = event_of(daemon, fields["id"])
    deliveries = daemon.store.deliveries(Filter(event_id=event.id), limit=_MOST_DELIVERIES + 1)
    explained, error = _explained(daemon, event, then=read.one("rules") == "then")
    sees = sees_payloads(daemon, session, event.source)
    as_text = read.one("body") == "text"
    tree = _tree(daemon, event) if sees and not as_text else None
    text = render(
        "event.html", session=session, here="/events", event=event, deliveries=deliveries[:_MOST_DELIVERIES],
        more=len(deliveries) > _MOST_DELIVERIES, now=read.now, waits=waits_of(daemon.store, daemon.pid),
        explained=explained, error=error, sees=sees, tree=tree, as_text=as_text,
        body=body_text(event.body) if sees and tree is None else "", is_cut=len(event.body) > SHOWN_BYTES,
        unexplained=max(0, len(daemon.ruleset().rules) - _MOST_RULES), done=read.one("done"),
        hidden=hidden_note(),
    )  # fmt: skip
    return html(text)


def _explained(daemon: DaemonHandle, event: Event, *, then: bool) -> tuple[ExplainedEvent | None, str]:
    """What the running rules, or those that routed the event, make of it; or why its payload can't be parsed."""
    recorded = daemon.loader.load_recorded
    work = rules_work(daemon, "webhook-router events explain") if then else nullcontext()
    try:
        with work:
            return daemon.explain(event, lambda text: recorded(text).ruleset, now=not then, most=_MOST_RULES), ""
    except PayloadError as problem:
        return None, str(problem)


def _tree(daemon: DaemonHandle, event: Event) -> TreeNode | None:
    try:
        return body_tree(event, OWN_SOURCE if is_own(event) else daemon.ruleset().sources.get(event.source))
    except PayloadError:
        return None


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
    """The event of a URL. Raises Problem, StoreError."""
    event = daemon.store.event(event_id)
    if event is None:
        raise Problem(404, "the store has no event with this id; old events are removed after some time")
    return event


def body_text(body: bytes) -> str:
    """The beginning of the body as it was sent. Bytes that are not text are escaped."""
    return body[:SHOWN_BYTES].decode("utf-8", "backslashreplace")


VIEWS = (
    View("/events/{id}", _show),
    View("/events/{id}/reroute", _reroute, ("POST",), acts=True),
)
