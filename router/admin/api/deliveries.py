"""Deliveries: listed, shown, made again, given up."""

import os
import time

from router.admin.api.bodies import CancelDeliveries, DeliveryFilter, ReplayDeliveries, refused_key, times_of
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.lists import listed, place_of, reported
from router.admin.api.parameters import CURSOR, LIMITED, SINCE, STATES, UNTIL, text
from router.admin.api.replies import answered, refused
from router.admin.daemon_handle import DaemonHandle
from router.domain.deliveries import State
from router.domain.filters import Filter
from router.domain.reply import Reply
from router.operate.bulk_change import CANCEL, REPLAY, BulkChange, ChangeReport, ScanPosition, Verb, WorkLimit, narrowed
from router.operate.ids import no_such
from router.operate.next_ruleset import next_ruleset
from router.operate.queries import filter_of as filter_by
from router.operate.queries import newest_deliveries
from router.operate.serialize import attempt_json, delivery_json
from router.operate.status import waits_of

MOST_CHANGED = 10_000  #: deliveries of one request: some seconds; the answer says where to go on
WORK_SECONDS = 10.0  #: that one request may work, however slow the disk is
BUSY_SECONDS = "1"  #: after which to ask again, when another change is under way
SAYING = '"states": ["{}"]'  #: how a request says a state


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    which, waits = filter_by(call.query["state"], call.query), waits_of(daemon.store, os.getpid())
    return listed(
        call,
        "deliveries",
        lambda limit, after: newest_deliveries(daemon.store, which, limit, after),
        lambda delivery: delivery_json(delivery, waits, call.now),
    )


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    delivery = daemon.store.delivery(call.path["id"])
    if delivery is None:
        return refused(404, no_such(daemon.store, "delivery", call.path["id"]))
    attempts = daemon.store.attempts(delivery.id)
    shown = delivery_json(delivery, waits_of(daemon.store, os.getpid()), call.now)
    shown["next_ruleset"] = next_ruleset(delivery, daemon.ruleset())
    return answered({**shown, "attempts_made": [attempt_json(a) for a in attempts]})


def _replay(daemon: DaemonHandle, call: Call) -> Reply:
    return _change(daemon, REPLAY, call)


def _cancel(daemon: DaemonHandle, call: Call) -> Reply:
    return _change(daemon, CANCEL, call)


def _change(daemon: DaemonHandle, verb: Verb, call: Call) -> Reply:
    asked: ReplayDeliveries | CancelDeliveries = call.body
    report = ChangeReport(verb, asked.dry_run)
    states = tuple(State(state) for state in asked.states or ())
    if asked.ids is not None:
        if asked.filter is not None or asked.all or asked.cursor is not None:
            return refused_key("ids", "give either ids, or a filter or all; with ids, only states narrows them")
        return changed(daemon, report, states or verb.named, ids=asked.ids)
    which = filter_of(asked.filter or DeliveryFilter(), states or verb.found, call.now)
    if isinstance(which, Reply):
        return which
    if not narrowed(which) and not asked.all:
        return refused_key("all", f'say which deliveries to {verb.name}: ids, a filter that narrows, or "all": true')
    if narrowed(which) and asked.all:
        return refused_key("all", "give either a filter that narrows, or all")
    place = place_of(asked.cursor, verb.name)
    if isinstance(place, Reply):
        return place
    return changed(daemon, report, which.states, which=which, place=place)


def changed(
    daemon: DaemonHandle,
    report: ChangeReport,
    states: tuple[State, ...],
    *,
    ids: list[str] | None = None,
    which: Filter | None = None,
    place: ScanPosition = ScanPosition(),  # noqa: B008 - immutable
) -> Reply:
    """Replay or cancel, by ids or by a filter, and what was done."""
    if not daemon.changing.acquire(blocking=False):
        return busy()
    try:
        work = BulkChange(daemon.store, report, states, daemon.now_ms, bound=bound(daemon, MOST_CHANGED), saying=SAYING)
        if ids is not None:
            work.named(ids)
        elif which is not None:
            work.found(which, place)
    finally:
        daemon.changing.release()
    return reported(report, report.verb.name)


def busy() -> Reply:
    """Another change is under way."""
    detail = "another replay, cancel or reroute is under way; ask again when it has ended"
    return refused(503, detail, ("Retry-After", BUSY_SECONDS))


def bound(daemon: DaemonHandle, items: int) -> WorkLimit:
    """How much one request does: that many, for a while, unless the daemon stops."""
    ends = time.monotonic() + WORK_SECONDS
    return WorkLimit(items, lambda: time.monotonic() > ends or daemon.stopping())


def filter_of(given: DeliveryFilter, states: tuple[State, ...], now: int) -> Filter | Reply:
    """Which deliveries are meant; or what is wrong with a time."""
    times = times_of(given, now)
    return times if isinstance(times, Reply) else filter_by(states, {**given.model_dump(), **times})


_LEFT = "What was done, and what was left alone and why. `more`: there is more to do; go on with `next` as `cursor`."

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/deliveries",
        "List deliveries, the newest first.",
        _list,
        {200: ResponseSpec("A page of them.", "DeliveryList")},
        (
            STATES,
            text("rule", "Only those of this rule."),
            text("action", "Only those of actions with this name."),
            text("target", "Only those to this target."),
            text("source", "Only those whose event came in by this source."),
            text("event", "Only those of this event (an id)."),
            SINCE,
            UNTIL,
            LIMITED,
            CURSOR,
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
        {200: ResponseSpec(_LEFT, "Replayed")},
        body=ReplayDeliveries,
    ),
    Endpoint(
        "POST",
        "/api/deliveries/cancel",
        "Give up deliveries: named ones, or all that a filter finds, the newest first.",
        _cancel,
        {200: ResponseSpec(_LEFT, "Cancelled")},
        body=CancelDeliveries,
    ),
)
