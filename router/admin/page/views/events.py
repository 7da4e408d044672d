"""The list of events."""

from collections.abc import Mapping
from contextlib import suppress

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html, see_other
from router.admin.page.listing import page_of, time_in
from router.admin.page.render import address, render
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.domain.deliveries import State
from router.domain.filters import EventFilter
from router.domain.reply import Reply
from router.operate.ids import NoSuchId, find_delivery, find_event_strict

NAMES = ("source", "rule", "state", "unmatched", "since", "until")


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    which = event_filter_in(read)
    listed = page_of(read, NAMES, lambda limit, after: daemon.store.search_events(which, limit, after))
    sources = sorted(daemon.ruleset().sources)
    text = render(
        "events.html", session=session, here="/events", listed=listed, rows=listed.rows, chosen=listed.chosen,
        sources=sources, states=[state.value for state in State], now=read.now, narrows=which != EventFilter(),
        query=address("", **listed.chosen).removeprefix("?"), done=read.one("done"),
    )  # fmt: skip
    return html(text)


def event_filter_in(read: PageRequest) -> EventFilter:
    """The filter in a URL. Raises Problem."""
    return EventFilter(
        source=read.one("source") or None,
        since=time_in(read, "since"),
        until=time_in(read, "until"),
        rule=read.one("rule") or None,
        states=states_in(read),
        unmatched=bool(read.one("unmatched")),
    )


def states_in(read: PageRequest) -> tuple[State, ...]:
    """The states in the filter. Raises Problem."""
    try:
        return tuple(State(name) for name in read.query.get("state", []) if name)
    except ValueError:
        raise Problem(404, f"there is no such state; there are {', '.join(State)}") from None


def _find(daemon: DaemonHandle, read: PageRequest, _: Session, __: Mapping[str, str]) -> Reply:
    """Go to an event or a delivery by its id or the beginning of its id."""
    wanted = read.one("id")
    with suppress(NoSuchId):
        return see_other(f"/events/{find_event_strict(daemon.store, wanted).id}")
    with suppress(NoSuchId):
        return see_other(f"/deliveries/{find_delivery(daemon.store, wanted).id}")
    raise Problem(404, "no event or delivery, or more than one, has an id with this beginning")


VIEWS = (View("/events", _show), View("/find", _find))
