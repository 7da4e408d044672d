"""Targets: what waits at each, and its limits."""

import os
from collections.abc import Mapping
from typing import Any

from router.admin.api import cursor
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.parameters import CURSOR, LIMITED
from router.admin.api.replies import answered, refused
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.domain.summaries import Depth
from router.operate.status import depth_json, note, waits_of
from router.plugins.target import TargetSpec


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    after = ""
    if call.query["cursor"] is not None:
        try:
            [after] = cursor.read(call.query["cursor"], "targets", str)
        except ValueError as error:
            return refused(400, f"parameter cursor: {error}", parameter="cursor")
    found = _Found(daemon)
    names = sorted(name for name in found.names() if name > after)
    shown = names[: call.query["limit"]]
    more = cursor.written("targets", shown[-1]) if len(names) > len(shown) else None
    return answered({"items": [found.json(name, call.now) for name in shown], "next": more})


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    found, name = _Found(daemon), call.path["name"]
    if name not in found.names():
        return refused(404, "no action goes to a target of this name, and nothing waits there")
    return answered(found.json(name, call.now))


class _Found:
    """The targets of the running rules, those where deliveries wait or are dead, and those with an open breaker."""

    def __init__(self, daemon: DaemonHandle) -> None:
        actions = daemon.ruleset().actions.values()
        self._specs: Mapping[str, TargetSpec] = {action.action.target.key: action.action.target for action in actions}
        self._depths = {depth.target: depth for depth in daemon.store.depths()}
        self._breakers = note(daemon.store, "breakers")
        self._waits = waits_of(daemon.store, os.getpid())

    def names(self) -> set[str]:
        return {*self._specs, *self._depths, *self._breakers}

    def json(self, name: str, now: int) -> dict[str, Any]:
        spec = self._specs.get(name)
        return {
            **depth_json(self._depths.get(name, Depth(name)), self._breakers, self._waits, now),
            "defined": spec is not None,
            "concurrency": spec.concurrency if spec else None,
            "rate": spec.rate if spec else None,
        }


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/targets",
        "List targets by name: what waits at each, and its limits.",
        _list,
        {200: ResponseSpec("A page of them.", "TargetList")},
        (LIMITED, CURSOR),
    ),
    Endpoint(
        "GET",
        "/api/targets/{name}",
        "Show a target.",
        _show,
        {200: ResponseSpec("The target.", "Target")},
        problems={404: "There is no such target."},
    ),
)
