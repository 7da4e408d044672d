"""The views of the page: one module and one line here for each."""

from collections.abc import Mapping

from router.admin.page.view import View
from router.admin.page.views import (
    change,
    copies,
    deliveries,
    delivery,
    event,
    events,
    nodes,
    overview,
    reroute,
    rules,
    targets,
    trial,
)

VIEWS: tuple[View, ...] = (
    *overview.VIEWS,
    *events.VIEWS,
    *reroute.VIEWS,  # before those of one event
    *event.VIEWS,
    *copies.VIEWS,
    *deliveries.VIEWS,
    *delivery.VIEWS,
    *targets.VIEWS,
    *nodes.VIEWS,
    *rules.VIEWS,
    *change.VIEWS,
    *trial.VIEWS,
)


def find_view(path: str) -> tuple[View, Mapping[str, str]] | None:
    """The view of a path, and the fields of the path."""
    for view in VIEWS:
        found = view.pattern.fullmatch(path)
        if found is not None:
            return view, found.groupdict()
    return None
