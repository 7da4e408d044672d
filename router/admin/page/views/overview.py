"""The first view: is it well, what waits, what is dead, and what an operator should do now."""

import os
from collections.abc import Mapping
from typing import Any

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html
from router.admin.page.render import address, render
from router.admin.page.sessions import Session
from router.admin.page.view import View
from router.domain.filters import EventFilter
from router.domain.reply import Reply
from router.operate.queries import newest_events
from router.operate.status import Status, read_status
from router.operate.words import counted, span

_RECENT = 10  #: events on the first view
_OLD_MS = 15 * 60_000  #: a delivery that waits for longer than that is worth a look


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    status = read_status(daemon.store, os.getpid())
    shown = status.as_json(read.now)
    text = render(
        "overview.html",
        session=session,
        here="/",
        status=shown,
        now=read.now,
        rules=daemon.ruleset(),
        checks=daemon.checks(),
        problems=_problems(status, shown, daemon.checks(), read.now),
        events=newest_events(daemon.store, EventFilter(), _RECENT),
    )
    return html(text)


def _problems(status: Status, shown: Mapping[str, Any], checks: Mapping[str, bool], now: int) -> list[tuple[str, str]]:
    """What is wrong, and the address where it can be mended."""
    found = [(f"The daemon is not ready: its {name} check fails. The log says why.", "") for name in _failing(checks)]
    drift = shown["rules"].get("drift")
    if drift:
        found.append((f"The rules file is not what runs: {drift.get('why', 'it could not be loaded')}", "/rules"))
    if shown["dead"]:
        found.append((f"{counted(shown['dead'], 'delivery')} dead.", address("/deliveries", state="dead")))
    for target, breaker in shown["breakers"].items():
        if isinstance(breaker, dict) and breaker.get("state") != "closed":
            found.append((f"Target {target} keeps failing: its breaker is {breaker.get('state')}.", "/targets"))
    for state in status.polls:
        if state.failures:
            failing = f"Polls of source {state.source} fail for {span(now - state.failing_since)}: {state.error}"
            found.append((failing, address("/events", source=state.source)))
    if status.oldest_at is not None and now - status.oldest_at > _OLD_MS:
        waited = span(now - status.oldest_at)
        found.append((f"The oldest delivery waits for {waited}.", address("/deliveries", state="pending")))
    return found


def _failing(checks: Mapping[str, bool]) -> list[str]:
    return [name for name, good in checks.items() if not good]


VIEWS = (View("/", _show),)
