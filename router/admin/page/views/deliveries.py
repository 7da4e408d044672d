"""The list of deliveries. Replay and cancel chosen deliveries, or all that match a filter."""

from collections.abc import Mapping
from dataclasses import replace

from router.admin.api.deliveries import MAX_CHANGED, work_limit
from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html, see_other
from router.admin.page.listing import fields_of, page_of, time_in
from router.admin.page.render import address, render
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.admin.page.views.events import states_in
from router.domain.deliveries import State
from router.domain.filters import Filter
from router.domain.reply import Reply
from router.operate.bulk_change import BulkChange, ChangeReport, names_more_than_states
from router.operate.delivery_operation import CANCEL, REPLAY, DeliveryOperation
from router.operate.status import waits_of

_NAMES = ("state", "rule", "action", "target", "source", "event", "since", "until")
_OPERATIONS = {"replay": REPLAY, "cancel": CANCEL}


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    which = filter_in(read)
    listed = page_of(read, _NAMES, lambda limit, after: daemon.store.search_deliveries(which, limit, after))
    text = render(
        "deliveries.html", session=session, here="/deliveries", listed=listed, rows=listed.rows, chosen=listed.chosen,
        waits=waits_of(daemon.store, daemon.pid), states=[state.value for state in State], done=read.one("done"),
        query=address("", **listed.chosen).removeprefix("?"), now=read.now,
        narrows=names_more_than_states(which) or bool(which.states),
    )  # fmt: skip
    return html(text)


def filter_in(read: PageRequest) -> Filter:
    """The filter in a URL. Raises Problem."""
    given = {name: read.one(name) or None for name in ("rule", "action", "target", "source")}
    return Filter(
        states=states_in(read),
        **given,
        event_id=read.one("event") or None,
        since=time_in(read, "since"),
        until=time_in(read, "until"),
    )


def _confirm(daemon: DaemonHandle, read: PageRequest, session: Session, fields: Mapping[str, str]) -> Reply:
    """Ask for confirmation, with the number, before all matching deliveries are changed."""
    operation = _operation(fields)
    if read.method == "POST":  # the list's form; the question has its own URL
        chosen = fields_of(read.sent("query"))
        return see_other(address(read.path, **{name: chosen.get(name, []) for name in _NAMES}))
    which = _chosen(read, operation)
    query = address("", **{name: read.query.get(name, []) for name in _NAMES}).removeprefix("?")
    number = daemon.store.count(which, MAX_CHANGED + 1)
    text = render(
        "confirm.html", session=session, here="/deliveries", operation=operation.name, number=number,
        query=query, most=MAX_CHANGED,
    )  # fmt: skip
    return html(text)


def _change(daemon: DaemonHandle, read: PageRequest, _: Session, fields: Mapping[str, str]) -> Reply:
    operation = _operation(fields)
    report = ChangeReport(operation, dry_run=False)
    ids = read.form.get("id", [])
    query = read.sent("query")
    which = None if ids else _chosen(replace(read, query=fields_of(query)), operation)
    if which is not None and daemon.store.count(which, MAX_CHANGED + 1) != _number(read):
        raise Problem(
            409, "the number of deliveries has changed since you were asked; check the new number, and confirm again"
        )
    states = which.states if which is not None else operation.states_by_id
    if not daemon.changing.acquire(blocking=False):
        raise Problem(503, "another replay, cancel or reroute is under way; try again in a moment")
    try:
        limit = work_limit(daemon, MAX_CHANGED)  # another click continues
        work = BulkChange(daemon.store, report, states, daemon.now_ms, limit=limit)
        if which is not None:
            work.by_filter(which)
        else:
            work.by_ids(ids)
    finally:
        daemon.changing.release()
    back = read.sent("back") or "/deliveries?" + query
    if not (back.startswith("/deliveries") and back.isascii() and back.isprintable()):
        back = "/deliveries"
    joint = "&" if "?" in back else "?"
    rest = ", and there are more" if report.rest is not None else ""
    return see_other(f"{back}{joint}{_said(operation, len(report.done), len(report.skipped), rest)}")


def _said(operation: DeliveryOperation, done: int, skipped: int, rest: str) -> str:
    left = f"; {skipped} left unchanged, since their state does not allow it" if skipped else ""
    return address("", done=f"{done} {operation.past}{left}{rest}").removeprefix("?")


def _operation(fields: Mapping[str, str]) -> DeliveryOperation:
    operation = _OPERATIONS.get(fields["operation"])
    if operation is None:
        raise Problem(404, "there is nothing here")
    return operation


def _chosen(read: PageRequest, operation: DeliveryOperation) -> Filter:
    """The filter in a URL, limited to the states that the operation changes. Raises Problem."""
    which = filter_in(read)
    if not which.states and not names_more_than_states(which):
        raise Problem(409, "choose deliveries, or set a filter other than the state")
    return replace(which, states=which.states or operation.states_by_filter)


def _number(read: PageRequest) -> int:
    text = read.sent("number")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1


VIEWS = (
    View("/deliveries", _show),
    View("/deliveries/all/{operation}/confirm", _confirm, ("GET", "POST")),
    View("/deliveries/all/{operation}", _change, ("POST",), acts=True),
)
