"""The overview: whether all is well, what came in, what waits, what is dead, and what an operator should do now."""

from collections.abc import Mapping

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.chart import SPANS, bar_words, chart_of
from router.admin.page.exchange import PageRequest, html
from router.admin.page.render import address, render
from router.admin.page.sessions import Session
from router.admin.page.view import View
from router.admin.page.views.nodes import living_first
from router.domain.filters import EventFilter
from router.domain.reply import Reply
from router.operate.concerns import Concern, Place, concerns
from router.operate.queries import newest_events
from router.operate.status import read_status

_RECENT = 10  #: events on the overview
_MOST_TARGETS = 20  #: that are listed, the longest waiting first
_MOST_NODES = 10


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    depths, age = daemon.counts.depths(daemon.store)
    status = read_status(daemon.store, daemon.pid, depths)
    shown = status.as_json(read.now)
    found = concerns(status, daemon.store.size(), daemon.checks(), read.now)
    chart = chart_of(daemon.store, read.one("span"), read.now)
    targets = sorted(shown["targets"], key=lambda one: (-(one["oldest_age_ms"] or 0), -one["dead"], one["target"]))
    text = render(
        "overview.html", session=session, here="/", status=shown, now=read.now, rules=daemon.ruleset(),
        concerns=[(one, address_of(one)) for one in found], chart=chart, spans=list(SPANS), bar=bar_words(chart),
        targets=targets[:_MOST_TARGETS], more_targets=max(0, len(targets) - _MOST_TARGETS), file=daemon.rules,
        age_ms=int(age * 1000),
        nodes=living_first(status.nodes, read.now)[:_MOST_NODES], more_nodes=max(0, len(status.nodes) - _MOST_NODES),
        events=newest_events(daemon.store, EventFilter(), _RECENT),
    )  # fmt: skip
    return html(text)


def address_of(concern: Concern) -> str:
    """The URL of the view where an operator can act on it. Empty if the page has none."""
    states = {Place.DEAD: "dead", Place.PENDING: "pending"}
    if concern.place in states:
        return address("/deliveries", state=states[concern.place], target=concern.target)
    return {Place.RULES: "/rules", Place.TARGETS: "/targets", Place.NODES: "/nodes"}.get(concern.place, "")


VIEWS = (View("/", _show),)
