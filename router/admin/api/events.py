"""/api/events: list, show, explain, replay, reroute."""

from router.admin.api.bodies import times_of
from router.admin.api.deliveries import busy, run_change, work_limit
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.lists import change_reply, scan_position, search_page
from router.admin.api.parameters import (
    RULE,
    SEARCHED,
    STATES,
    UNMATCHED,
    flag,
    text,
)
from router.admin.api.replies import body_problem, json_reply, no_such, problem_reply
from router.admin.api.request_models import EventsFilter, ReplayEvents
from router.admin.api.rules import CHECK_SECONDS, CHECK_WAIT_SECONDS, MAX_EXPLAINED, unexplained
from router.admin.api.searches import bounds, event_test
from router.admin.daemon_handle import DaemonHandle
from router.domain.deliveries import State
from router.domain.errors import PayloadError
from router.domain.events import Event
from router.domain.filters import EventFilter, Filter
from router.domain.reply import Reply
from router.operate.bulk_change import ChangeReport, deliveries_of
from router.operate.delivery_operation import REPLAY
from router.operate.explain_event import routing_json
from router.operate.ids import NoSuchId, find_event
from router.operate.queries import keys_of
from router.operate.reroute import Reroute, RerouteReport
from router.operate.search import find_events
from router.operate.serialize import body_json, delivery_json, event_head_json, event_json
from router.operate.status import waits_of
from router.runtime.pacing import TooLong, resting_while_busy

MAX_REROUTED = 1_000  #: events of one request; each is read, parsed, planned and committed separately
MAX_EVENTS = 1_000  #: events of one request whose deliveries are replayed


def _event(daemon: DaemonHandle, call: Call) -> Event | Reply:
    """The event that the path names: by its id, the beginning of its id, `last`, or the id of one of its deliveries."""
    try:
        event_id = find_event(daemon.store, call.path["id"]).id
    except NoSuchId as error:
        return no_such("event", error)
    return daemon.store.event(event_id) or problem_reply(404, "the event was pruned in the meantime")


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    query = call.query
    keys = keys_of(query["provider_id"]) if query["provider_id"] is not None else ()
    which = EventFilter(
        query["source"], query["since"], query["until"], query["rule"], query["state"], query["unmatched"], keys
    )
    test = event_test(daemon, call)
    if isinstance(test, Reply):
        return test
    return search_page(
        call,
        "events",
        lambda limit, after: find_events(daemon.store, which, test, limit, bounds(daemon), after),
        event_head_json,
        daemon.hidden_sources() if test or keys else (),
    )


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    event = _event(daemon, call)
    if isinstance(event, Reply):
        return event
    deliveries = daemon.store.deliveries(Filter(event_id=event.id), limit=10_000)
    waits = waits_of(daemon.store, daemon.pid)
    routing = daemon.store.routing(event.id)
    rules = daemon.store.ruleset(routing.ruleset) if routing is not None else None
    listed = [delivery_json(d, waits, call.now) for d in deliveries]
    content = {**event_json(event), "routing": routing_json(routing, rules), "deliveries": listed}
    return json_reply({**content, **body_json(event.body)} if call.query["body"] else content)


def _explain(daemon: DaemonHandle, call: Call) -> Reply:
    event = _event(daemon, call)
    if isinstance(event, Reply):
        return event
    running = daemon.ruleset()
    if not daemon.checking.acquire(timeout=CHECK_WAIT_SECONDS):
        return problem_reply(503, "rules are being compiled; try again when that has ended", ("Retry-After", "5"))
    try:
        with resting_while_busy(daemon.busy, seconds=CHECK_SECONDS):
            recorded = daemon.loader.load_recorded
            found = daemon.explain(
                event, lambda text: recorded(text).ruleset, now=call.query["now"], most=MAX_EXPLAINED
            )
    except PayloadError as error:
        return problem_reply(422, f"the payload can't be parsed: {error}")
    except TooLong:
        return problem_reply(422, "compiling the recorded rules is too much work for a running daemon")
    finally:
        daemon.checking.release()
    return json_reply({**found.as_json(), **unexplained(running, found.shown)})


def _replay(daemon: DaemonHandle, call: Call) -> Reply:
    body: ReplayEvents = call.body
    if body.reroute:
        return _reroute(daemon, body, call.now)
    if body.filter is not None or body.cursor is not None:
        return body_problem(
            "filter", 'this needs "reroute": true; to replay deliveries by a filter, use /api/deliveries/replay'
        )
    if body.again:
        return body_problem("again", 'this needs "reroute": true')
    if body.ids is None:
        return body_problem("ids", "give the ids of the events to replay")
    if len(body.ids) > MAX_EVENTS:
        return body_problem("ids", f"expected at most {MAX_EVENTS}; send the others in another request")
    report = ChangeReport(REPLAY, body.dry_run)
    states = tuple(map(State, body.states)) if body.states else _REPLAYED
    return run_change(daemon, report, states, ids=deliveries_of(daemon.store, body.ids, report))


_REPLAYED = tuple(state for state in State if state is not State.SKIPPED)


def _reroute(daemon: DaemonHandle, body: ReplayEvents, now: int) -> Reply:
    if body.states is not None:
        return body_problem("states", 'this can\'t be used with "reroute"')
    which = _filter_of(body.filter or EventsFilter(), now)
    if isinstance(which, Reply):
        return which
    if (body.ids is not None) == (which != EventFilter()):
        return body_problem("ids", "give the events to plan again: either ids, or a filter with source, since or until")
    if len(body.ids or ()) > MAX_REROUTED:
        return body_problem("ids", f"expected at most {MAX_REROUTED}; send the others in another request")
    if body.cursor is not None and body.ids is not None:
        return body_problem("cursor", "this needs a filter, not ids")
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
        {200: ResponseSpec("A page of the list.", "EventList")},
        (
            text("source", "Only those that came in by this source."),
            RULE,
            STATES,
            UNMATCHED,
            *SEARCHED,
        ),
    ),
    Endpoint(
        "GET",
        "/api/events/{id}",
        "Show an event: its request, headers and deliveries.",
        _show,
        {200: ResponseSpec("The event.", "Event")},
        (flag("body", "With its body: as `body`, or as `body_base64` where that is not text."),),
        problems={404: "There is no such event."},
    ),
    Endpoint(
        "GET",
        "/api/events/{id}/explain",
        "Show what the rules that routed an event do with it, and why; execute nothing.",
        _explain,
        {200: ResponseSpec("What `events explain ID --json` prints.", "Explained")},
        (flag("now", "By the running rules, instead of those that routed it."),),
        problems={404: "There is no such event.", 422: "Its payload can't be parsed."},
    ),
    Endpoint(
        "POST",
        "/api/events/replay",
        "Deliver events again; with `reroute`, plan them again under the running rules.",
        _replay,
        {
            200: ResponseSpec(
                "What was done, and what was left unchanged and why. `more`: continue with `next` as `cursor`.",
                {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Replayed", "Rerouted")]},
            )
        },
        body=ReplayEvents,
    ),
)
