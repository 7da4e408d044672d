"""Plan all events of a filter again, after their number is confirmed. For example unmatched events after a fix."""

from collections.abc import Mapping
from dataclasses import replace

from router.admin.api.deliveries import work_limit
from router.admin.api.events import MAX_REROUTED
from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html, see_other
from router.admin.page.listing import fields_of
from router.admin.page.render import address, render
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.admin.page.views.events import NAMES, event_filter_in
from router.domain.filters import EventFilter
from router.domain.reply import Reply
from router.operate.reroute import Reroute, RerouteReport
from router.operate.scan import ScanPosition
from router.operate.words import counted

MOST_COUNTED = 10_000  #: events; of more the question says so, since counting a million would take a second
PATH = "/events/all/reroute"


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    if read.method == "POST":
        return _reroute(daemon, read)
    which = _filter(read)
    number = daemon.store.count_events(which, MOST_COUNTED + 1)
    text = render(
        "reroute.html", session=session, here="/events", number=number, query=_query(read),
        most=MAX_REROUTED, counted_to=MOST_COUNTED, done=read.one("done"), position=_position(read), now=read.now,
    )  # fmt: skip
    return html(text)


def _reroute(daemon: DaemonHandle, read: PageRequest) -> Reply:
    asked = replace(read, query=fields_of(read.sent("query")))
    which, position = _filter(asked), _position(replace(read, query=read.form))
    # A run that is continued was confirmed at its beginning. The number of unmatched events has decreased since then.
    if not position.last and str(daemon.store.count_events(which, MOST_COUNTED + 1)) != read.sent("number"):
        raise Problem(
            409, "the number of events has changed since you were asked; check the new number, and confirm again"
        )
    report = RerouteReport(dry_run=False)
    if not daemon.changing.acquire(blocking=False):
        raise Problem(503, "another replay, cancel or reroute is under way; try again in a moment")
    try:
        limit = work_limit(daemon, MAX_REROUTED)
        Reroute(daemon.store, daemon.ruleset(), report, daemon.now_ms, limit=limit).by_filter(which, position)
    finally:
        daemon.changing.release()
    left = f"; {counted(len(report.skipped), 'event')} got none" if report.skipped else ""
    said = f"{counted(len(report.planned), 'delivery')} planned for {counted(report.events, 'event')}{left}"
    chosen = {name: asked.query.get(name, []) for name in NAMES}
    if report.rest is None:
        return see_other(address("/events", **chosen, done=said))
    rest = report.rest
    return see_other(address(PATH, **chosen, done=said, position=f"{rest.after}-{rest.last}"))


def _filter(read: PageRequest) -> EventFilter:
    which = event_filter_in(read)
    if which == EventFilter():
        raise Problem(409, "set a filter: source, since or until")
    return which


def _query(read: PageRequest) -> str:
    return address("", **{name: read.query.get(name, []) for name in NAMES}).removeprefix("?")


def _position(read: PageRequest) -> ScanPosition:
    """Where an earlier click ended. Raises Problem."""
    after, _, last = read.one("position").partition("-")
    if not after:
        return ScanPosition()
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in (after, last)):
        raise Problem(404, "there is nothing here")
    return ScanPosition(int(after), int(last))


VIEWS = (View(PATH, _show, ("GET", "POST"), acts=True),)
