"""/api/deliveries: list, show, replay, cancel."""

import time

from router.admin.api.bodies import times_of
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.lists import change_reply, scan_position, search_page
from router.admin.api.parameters import (
    SEARCHED,
    STATES,
    text,
)
from router.admin.api.replies import body_problem, json_reply, no_such, problem_reply
from router.admin.api.request_models import CancelDeliveries, DeliveryFilter, ReplayDeliveries
from router.admin.api.searches import bounds, event_test
from router.admin.daemon_handle import DaemonHandle
from router.domain.deliveries import State
from router.domain.filters import Filter
from router.domain.reply import Reply
from router.operate.bulk_change import BulkChange, ChangeReport, names_more_than_states
from router.operate.delivery_operation import CANCEL, REPLAY, DeliveryOperation
from router.operate.ids import NoSuchId, find_delivery
from router.operate.next_ruleset import next_ruleset
from router.operate.queries import filter_of as filter_by
from router.operate.queries import of_provider
from router.operate.scan import ScanPosition, WorkLimit
from router.operate.search import find_deliveries
from router.operate.serialize import attempt_json, delivery_json
from router.operate.status import waits_of

MAX_CHANGED = 10_000  #: deliveries of one request, some seconds of work; the reply has a cursor for the rest
WORK_SECONDS = 10.0  #: limit of one request, also with a slow disk
RETRY_AFTER_SECONDS = "1"  #: when another change is running
STATE_SYNTAX = '"states": ["{}"]'  #: how a request names a state


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    query, waits = call.query, waits_of(daemon.store, daemon.pid)
    which, test = filter_by(query["state"], query), event_test(daemon, call)
    if isinstance(test, Reply):
        return test
    if query["provider_id"] is not None:
        which = of_provider(daemon.store, which, query["provider_id"])
    return search_page(
        call,
        "deliveries",
        lambda limit, after: find_deliveries(daemon.store, which, test, limit, bounds(daemon), after),
        lambda delivery: delivery_json(delivery, waits, call.now),
        daemon.hidden_sources() if test or query["provider_id"] is not None else (),
    )


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    try:
        delivery = daemon.store.delivery(find_delivery(daemon.store, call.path["id"]).id)
    except NoSuchId as error:
        return no_such("delivery", error)
    if delivery is None:
        return problem_reply(404, "the delivery was pruned in the meantime")
    attempts = daemon.store.attempts(delivery.id)
    content = delivery_json(delivery, waits_of(daemon.store, daemon.pid), call.now)
    content["next_ruleset"] = next_ruleset(delivery, daemon.ruleset())
    return json_reply({**content, "attempts_made": [attempt_json(a) for a in attempts]})


def _replay(daemon: DaemonHandle, call: Call) -> Reply:
    return _change(daemon, REPLAY, call)


def _cancel(daemon: DaemonHandle, call: Call) -> Reply:
    return _change(daemon, CANCEL, call)


def _change(daemon: DaemonHandle, operation: DeliveryOperation, call: Call) -> Reply:
    body: ReplayDeliveries | CancelDeliveries = call.body
    report = ChangeReport(operation, body.dry_run)
    states = tuple(State(state) for state in body.states or ())
    if body.ids is not None:
        if body.filter is not None or body.all or body.cursor is not None:
            return body_problem("ids", "give either ids, or a filter or all; beside ids, only states is allowed")
        return run_change(daemon, report, states or operation.states_by_id, ids=body.ids)
    which = filter_of(body.filter or DeliveryFilter(), states or operation.states_by_filter, call.now)
    if isinstance(which, Reply):
        return which
    if not names_more_than_states(which) and not body.all:
        return body_problem(
            "all", f'say which deliveries to {operation.name}: ids, a filter other than states, or "all": true'
        )
    if names_more_than_states(which) and body.all:
        return body_problem("all", "give either a filter other than states, or all")
    position = scan_position(body.cursor, operation.name)
    if isinstance(position, Reply):
        return position
    return run_change(daemon, report, which.states, which=which, position=position)


def run_change(
    daemon: DaemonHandle,
    report: ChangeReport,
    states: tuple[State, ...],
    *,
    ids: list[str] | None = None,
    which: Filter | None = None,
    position: ScanPosition = ScanPosition(),  # noqa: B008 - immutable
) -> Reply:
    """Replay or cancel by ids or by a filter, and reply with the report."""
    if not daemon.changing.acquire(blocking=False):
        return busy()
    try:
        work = BulkChange(
            daemon.store,
            report,
            states,
            daemon.now_ms,
            limit=work_limit(daemon, MAX_CHANGED),
            state_syntax=STATE_SYNTAX,
        )
        if ids is not None:
            work.by_ids(ids)
        elif which is not None:
            work.by_filter(which, position)
    finally:
        daemon.changing.release()
    return change_reply(report, report.operation.name)


def busy() -> Reply:
    """The reply while another change is running."""
    detail = "another replay, cancel or reroute is under way; try again when it has ended"
    return problem_reply(503, detail, ("Retry-After", RETRY_AFTER_SECONDS))


def work_limit(daemon: DaemonHandle, items: int) -> WorkLimit:
    """The limit of one request: this many items, WORK_SECONDS, and until the daemon stops."""
    ends = time.monotonic() + WORK_SECONDS
    return WorkLimit(items, lambda: time.monotonic() > ends or daemon.stopping())


def filter_of(chosen: DeliveryFilter, states: tuple[State, ...], now: int) -> Filter | Reply:
    """The filter of a request, or a reply that names the wrong time."""
    times = times_of(chosen, now)
    return times if isinstance(times, Reply) else filter_by(states, {**chosen.model_dump(), **times})


_CHANGE_DESCRIPTION = (
    "What was done, and what was left unchanged and why. `more`: there is more to do; continue with `next` as `cursor`."
)

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/deliveries",
        "List deliveries, the newest first.",
        _list,
        {200: ResponseSpec("A page of the list.", "DeliveryList")},
        (
            STATES,
            text("rule", "Only those of this rule."),
            text("action", "Only those of actions with this name."),
            text("target", "Only those to this target."),
            text("source", "Only those whose event came in by this source."),
            text("event", "Only those of this event (an id)."),
            *SEARCHED,
        ),
    ),
    Endpoint(
        "GET",
        "/api/deliveries/{id}",
        "Show a delivery with every attempt.",
        _show,
        {200: ResponseSpec("The delivery.", "DeliveryWithAttempts")},
        problems={404: "There is no such delivery."},
    ),
    Endpoint(
        "POST",
        "/api/deliveries/replay",
        "Deliver again: named deliveries, or all that a filter finds, the oldest first.",
        _replay,
        {200: ResponseSpec(_CHANGE_DESCRIPTION, "Replayed")},
        body=ReplayDeliveries,
    ),
    Endpoint(
        "POST",
        "/api/deliveries/cancel",
        "Give up deliveries: named ones, or all that a filter finds, the newest first.",
        _cancel,
        {200: ResponseSpec(_CHANGE_DESCRIPTION, "Cancelled")},
        body=CancelDeliveries,
    ),
)
