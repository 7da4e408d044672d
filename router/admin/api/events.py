"""/api/events: list, show, explain, replay, reroute."""

import os

from router.admin.api.bodies import times_of
from router.admin.api.deliveries import busy, run_change, work_limit
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.lists import change_reply, list_page, scan_position
from router.admin.api.parameters import CURSOR, LIMITED, SINCE, UNTIL, flag, text
from router.admin.api.replies import body_problem, json_reply, problem_reply
from router.admin.api.request_models import EventsFilter, ReplayEvents
from router.admin.api.rules import previewed
from router.admin.daemon_handle import DaemonHandle
from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter
from router.domain.reply import Reply
from router.operate.bulk_change import ChangeReport, deliveries_of
from router.operate.delivery_operation import REPLAY
from router.operate.ids import no_such
from router.operate.queries import newest_events
from router.operate.reroute import Reroute, RerouteReport
from router.operate.serialize import body_json, delivery_json, event_head_json, event_json
from router.operate.status import waits_of

MAX_REROUTED = 1_000  #: events of one request; each is read, parsed, planned and committed separately
MAX_EVENTS = 1_000  #: events of one request whose deliveries are replayed


def _no_event(daemon: DaemonHandle, call: Call) -> Reply:
    return problem_reply(404, no_such(daemon.store, "event", call.path["id"]))


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    query = call.query
    which = EventFilter(query["source"], query["since"], query["until"])
    return list_page(
        call, "events", lambda limit, after: newest_events(daemon.store, which, limit, after), event_head_json
    )


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    event = daemon.store.event(call.path["id"])
    if event is None:
        return _no_event(daemon, call)
    deliveries = daemon.store.deliveries(Filter(event_id=event.id), limit=10_000)
    waits = waits_of(daemon.store, os.getpid())
    content = {**event_json(event), "deliveries": [delivery_json(d, waits, call.now) for d in deliveries]}
    return json_reply({**content, **body_json(event.body)} if call.query["body"] else content)


def _explain(daemon: DaemonHandle, call: Call) -> Reply:
    event = daemon.store.event(call.path["id"])
    if event is None:
        return _no_event(daemon, call)
    return previewed(daemon.ruleset(), event, explained=True)


def _replay(daemon: DaemonHandle, call: Call) -> Reply:
    body: ReplayEvents = call.body
    if body.reroute:
        return _reroute(daemon, body, call.now)
    if body.filter is not None or body.cursor is not None:
        return body_problem(
            "filter", 'this goes with "reroute": true; /api/deliveries/replay replays deliveries by a filter'
        )
    if body.again:
        return body_problem("again", 'this goes with "reroute": true')
    if body.ids is None:
        return body_problem("ids", "say which events to replay")
    if len(body.ids) > MAX_EVENTS:
        return body_problem("ids", f"expected at most {MAX_EVENTS}; send the others in another request")
    report = ChangeReport(REPLAY, body.dry_run)
    states = tuple(map(State, body.states)) if body.states else _REPLAYED
    return run_change(daemon, report, states, ids=deliveries_of(daemon.store, body.ids, report))


_REPLAYED = tuple(state for state in State if state is not State.SKIPPED)


def _reroute(daemon: DaemonHandle, body: ReplayEvents, now: int) -> Reply:
    if body.states is not None:
        return body_problem("states", 'this goes without "reroute"')
    which = _filter_of(body.filter or EventsFilter(), now)
    if isinstance(which, Reply):
        return which
    if (body.ids is not None) == (which != EventFilter()):
        return body_problem(
            "ids", "say which events to plan again: either ids, or a filter with source, since or until"
        )
    if len(body.ids or ()) > MAX_REROUTED:
        return body_problem("ids", f"expected at most {MAX_REROUTED}; send the others in another request")
    if body.cursor is not None and body.ids is not None:
        return body_problem("cursor", "this goes with a filter")
    position = scan_position(body.cursor, "reroute")
    if isinstance(position, Reply):
        return position
    if not daemon.changing.acquire(blocking=False):
        return busy()
    report = RerouteReport(body.dry_run)
    try:
        work = Reroute(
            daemon.store,
            daemon.ruleset(),
            report,
            daemon.now_ms,
            body.again,
            limit=work_limit(daemon, MAX_REROUTED),
            again_syntax='"again": true',
        )
        if body.ids is not None:
            work.by_ids(body.ids)
        else:
            work.by_filter(which, position)
    finally:
        daemon.changing.release()
    return change_reply(report, "reroute")


def _filter_of(chosen: EventsFilter, now: int) -> EventFilter | Reply:
    times = times_of(chosen, now)
    return times if isinstance(times, Reply) else EventFilter(chosen.source, times["since"], times["until"])


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/events",
        "List events, the newest first, with the states of their deliveries.",
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
