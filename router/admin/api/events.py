"""Events: listed, shown, explained, delivered again, planned again."""

import os

from router.admin.api.bodies import EventsFilter, ReplayEvents, refused_key, times_of
from router.admin.api.deliveries import bound, busy, changed
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.lists import listed, place_of, reported
from router.admin.api.parameters import CURSOR, LIMITED, SINCE, UNTIL, flag, text
from router.admin.api.replies import answered, refused
from router.admin.api.rules import previewed
from router.admin.daemon_handle import DaemonHandle
from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter
from router.domain.reply import Reply
from router.operate.bulk_change import REPLAY, deliveries_of
from router.operate.bulk_change import ChangeReport as Changed
from router.operate.ids import no_such
from router.operate.queries import newest_events
from router.operate.reroute import Reroute, RerouteReport
from router.operate.serialize import body_json, delivery_json, event_json, head_json
from router.operate.status import waits_of

MOST_REROUTED = 1_000  #: events of one request: each is read, parsed, planned and committed by itself
MOST_NAMED = 1_000  #: events whose deliveries one request replays


def _no_event(daemon: DaemonHandle, call: Call) -> Reply:
    return refused(404, no_such(daemon.store, "event", call.path["id"]))


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    given = call.query
    which = EventFilter(given["source"], given["since"], given["until"])
    return listed(call, "events", lambda limit, after: newest_events(daemon.store, which, limit, after), head_json)


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    event = daemon.store.event(call.path["id"])
    if event is None:
        return _no_event(daemon, call)
    deliveries = daemon.store.deliveries(Filter(event_id=event.id), limit=10_000)
    waits = waits_of(daemon.store, os.getpid())
    shown = {**event_json(event), "deliveries": [delivery_json(d, waits, call.now) for d in deliveries]}
    return answered({**shown, **body_json(event.body)} if call.query["body"] else shown)


def _explain(daemon: DaemonHandle, call: Call) -> Reply:
    event = daemon.store.event(call.path["id"])
    if event is None:
        return _no_event(daemon, call)
    return previewed(daemon.ruleset(), event, explained=True)


def _replay(daemon: DaemonHandle, call: Call) -> Reply:
    asked: ReplayEvents = call.body
    if asked.reroute:
        return _reroute(daemon, asked, call.now)
    if asked.filter is not None or asked.cursor is not None:
        return refused_key(
            "filter", 'this goes with "reroute": true; /api/deliveries/replay replays deliveries by a filter'
        )
    if asked.again:
        return refused_key("again", 'this goes with "reroute": true')
    if asked.ids is None:
        return refused_key("ids", "say which events to replay")
    if len(asked.ids) > MOST_NAMED:
        return refused_key("ids", f"expected at most {MOST_NAMED}; send the others in another request")
    report = Changed(REPLAY, asked.dry_run)
    states = tuple(State(state) for state in asked.states or State)
    return changed(daemon, report, states, ids=deliveries_of(daemon.store, asked.ids, report))


def _reroute(daemon: DaemonHandle, asked: ReplayEvents, now: int) -> Reply:
    if asked.states is not None:
        return refused_key("states", 'this goes without "reroute"')
    which = _filter_of(asked.filter or EventsFilter(), now)
    if isinstance(which, Reply):
        return which
    if (asked.ids is not None) == (which != EventFilter()):
        return refused_key("ids", "say which events to plan again: either ids, or a filter with source, since or until")
    if len(asked.ids or ()) > MOST_REROUTED:
        return refused_key("ids", f"expected at most {MOST_REROUTED}; send the others in another request")
    if asked.cursor is not None and asked.ids is not None:
        return refused_key("cursor", "this goes with a filter")
    place = place_of(asked.cursor, "reroute")
    if isinstance(place, Reply):
        return place
    if not daemon.changing.acquire(blocking=False):
        return busy()
    report = RerouteReport(asked.dry_run)
    try:
        work = Reroute(
            daemon.store,
            daemon.ruleset(),
            report,
            daemon.now_ms,
            asked.again,
            bound=bound(daemon, MOST_REROUTED),
            saying='"again": true',
        )
        if asked.ids is not None:
            work.named(asked.ids)
        else:
            work.found(which, place)
    finally:
        daemon.changing.release()
    return reported(report, "reroute")


def _filter_of(given: EventsFilter, now: int) -> EventFilter | Reply:
    times = times_of(given, now)
    return times if isinstance(times, Reply) else EventFilter(given.source, **times)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/events",
        "List events, the newest first, with how their deliveries stand.",
        _list,
        {200: ResponseSpec("A page of them.", "EventList")},
        (text("source", "Only those that came in by this source."), SINCE, UNTIL, LIMITED, CURSOR),
    ),
    Endpoint(
        "GET",
        "/api/events/{id}",
        "Show an event: its request, headers and deliveries.",
        _show,
        {200: ResponseSpec("The event.", "Event")},
        (flag("body", "With its body: as `body`, or as `body_base64` where that is no text."),),
        problems={404: "There is no such event."},
    ),
    Endpoint(
        "GET",
        "/api/events/{id}/explain",
        "Show what the running rules would do with an event, and why; execute nothing.",
        _explain,
        {200: ResponseSpec("What `test --event ID --explain --json` prints.", "Tested")},
        problems={404: "There is no such event.", 422: "Its payload can't be parsed."},
    ),
    Endpoint(
        "POST",
        "/api/events/replay",
        "Deliver events again; with `reroute`, plan them again under the running rules.",
        _replay,
        {
            200: ResponseSpec(
                "What was done, and what was left alone and why. `more`: go on with `next` as `cursor`.",
                {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Replayed", "Rerouted")]},
            )
        },
        body=ReplayEvents,
    ),
)
