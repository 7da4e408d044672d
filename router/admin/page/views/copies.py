"""Copies of one event: as a curl command, as a test case, and the body as a file."""

from collections.abc import Mapping

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, download, html
from router.admin.page.payloads import hidden_note, sees_payloads
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.admin.page.views.event import event_of
from router.domain.errors import PayloadError
from router.domain.events import Event
from router.domain.reply import Reply
from router.operate.export_event import Exported, as_case, as_curl

SHOWN_BYTES = 64 * 1024  #: of a copy on the page; a larger one is a download
LARGEST_BODY = 4 * 1024 * 1024  #: bytes of a body that can be copied; `webhook-router events export` has no such limit
_TO = "http://127.0.0.1:8080"
_FILES = {"curl": ("text/plain; charset=utf-8", "sh"), "case": ("application/yaml; charset=utf-8", "cases.yaml")}


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, fields: Mapping[str, str]) -> Reply:
    event = _shown_event(daemon, session, fields["id"])
    to = read.one("to") or _TO
    copies = [(name, title, _copy(daemon, event, name, to)) for name, title in _TITLES]
    text = render(
        "copies.html", session=session, here="/events", event=event, copies=copies, to=to, most=SHOWN_BYTES,
        now=read.now,
    )  # fmt: skip
    return html(text)


_TITLES = (("curl", "As a curl command"), ("case", "As a test case"))


def _file(daemon: DaemonHandle, read: PageRequest, session: Session, fields: Mapping[str, str]) -> Reply:
    if fields["form"] not in _FILES:
        raise Problem(404, "there is nothing here")
    event = _shown_event(daemon, session, fields["id"])
    copy = _copy(daemon, event, fields["form"], read.one("to") or _TO)
    if isinstance(copy, str):
        raise Problem(409, copy)
    media_type, ending = _FILES[fields["form"]]
    return download(copy.text.encode("utf-8", "surrogatepass"), media_type, f"event-{event.id}.{ending}")


def _body(daemon: DaemonHandle, _: PageRequest, session: Session, fields: Mapping[str, str]) -> Reply:
    event = _shown_event(daemon, session, fields["id"])
    return download(event.body, "application/octet-stream", f"event-{event.id}.body")


def _shown_event(daemon: DaemonHandle, session: Session, event_id: str) -> Event:
    """The event, if the session may see its payload. Raises Problem, StoreError."""
    event = event_of(daemon, event_id)
    if not sees_payloads(daemon, session, event.source):
        raise Problem(403, hidden_note())
    return event


def _copy(daemon: DaemonHandle, event: Event, form: str, to: str) -> Exported | str:
    """The copy, or why there is none."""
    if len(event.body) > LARGEST_BODY:
        return "The body is too large for a copy here. Use webhook-router events export, or download the body."
    if form == "curl":
        return as_curl(event, to)
    ruleset = daemon.ruleset()
    if event.source not in ruleset.sources:
        return "The running rules no longer have the event's source, so there is no result that a test could expect."
    try:
        return as_case(event, ruleset)
    except PayloadError as error:
        return f"The running rules can't parse the payload: {error}"


VIEWS = (
    View("/events/{id}/copy", _show),
    View("/events/{id}/copy/{form}", _file),
    View("/events/{id}/body", _body),
)
