"""One delivery: its state and why it waits, and each attempt with what was sent and answered."""

import os
from collections.abc import Mapping

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.domain.reply import Reply
from router.operate.serialize import attempt_duration_ms
from router.operate.status import waits_of


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, fields: Mapping[str, str]) -> Reply:
    delivery = daemon.store.delivery(fields["id"])
    if delivery is None:
        raise Problem(404, "the store has no delivery with this id; old ones are removed after a time")
    attempts = daemon.store.attempts(delivery.id)
    text = render(
        "delivery.html", session=session, here="/deliveries", delivery=delivery, attempts=attempts, now=read.now,
        waiting=waits_of(daemon.store, os.getpid()).of(delivery, read.now), duration=attempt_duration_ms,
    )  # fmt: skip
    return html(text)


VIEWS = (View("/deliveries/{id}", _show),)
