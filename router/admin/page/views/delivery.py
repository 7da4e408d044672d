"""One delivery: its state and why it waits, and each attempt with its request and answer."""

from collections.abc import Mapping

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html
from router.admin.page.payloads import hidden_note, sees_payloads
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.domain.deliveries import Delivery, State
from router.domain.filters import Filter
from router.domain.reply import Reply
from router.domain.target_state import Wait
from router.operate.serialize import attempt_duration_ms
from router.operate.status import waits_of
from router.operate.wait_words import wait_sentence
from router.operate.waits import Waiting
from router.store.contract import StoreReader

_LOOKED_AT = 200  #: unsettled deliveries of the action that are searched for the one that is waited for
_MOST_ATTEMPTS = 100  #: attempts that the view shows, the newest


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, fields: Mapping[str, str]) -> Reply:
    delivery = daemon.store.delivery(fields["id"])
    if delivery is None:
        raise Problem(404, "the store has no delivery with this id; old deliveries are removed after some time")
    attempts = daemon.store.attempts(delivery.id)
    waiting = waits_of(daemon.store, daemon.pid).of(delivery, read.now)
    event = daemon.store.event(delivery.event_id)
    sees = sees_payloads(daemon, session, event.source if event is not None else None)
    text = render(
        "delivery.html", session=session, here="/deliveries", delivery=delivery, attempts=attempts[-_MOST_ATTEMPTS:],
        now=read.now, older_attempts=max(0, len(attempts) - _MOST_ATTEMPTS), duration=attempt_duration_ms,
        waiting=waiting, why=wait_sentence(delivery, waiting) if delivery.state is State.PENDING else "",
        before=_waited_for(daemon.store, delivery, waiting) if sees else None, sees=sees, hidden=hidden_note(),
        done=read.one("done"),
    )  # fmt: skip
    return html(text)


def _waited_for(store: StoreReader, delivery: Delivery, waiting: Waiting | None) -> Delivery | None:
    """The delivery that must end first. None if there is none or it is too far away. Raises StoreError."""
    if waiting is None or waiting.reason not in (Wait.ORDER, Wait.LATEST):
        return None
    by_order = waiting.reason is Wait.ORDER
    unsettled = Filter(states=(State.PENDING, State.RUNNING), rule=delivery.rule, action=delivery.action)
    for other in store.deliveries(unsettled, limit=_LOOKED_AT):
        of_order = by_order and other.order_key == delivery.order_key and not other.blocked
        of_group = not by_order and other.latest_key == delivery.latest_key and other.state is State.RUNNING
        if other.id != delivery.id and (of_order or of_group):
            return other
    return None


VIEWS = (View("/deliveries/{id}", _show),)
