"""/api/targets: what waits at each target, and its limits."""

import os
from collections.abc import Mapping
from typing import Any

from router.admin.api import cursor
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.parameters import CURSOR, LIMITED
from router.admin.api.replies import json_reply, problem_reply
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.domain.summaries import Depth
from router.operate.status import depth_json, note, waits_of
from router.plugins.target import TargetSpec


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    after = ""
    if call.query["cursor"] is not None:
        try:
            [after] = cursor.decode(call.query["cursor"], "targets", str)
        except ValueError as error:
            return problem_reply(400, f"parameter cursor: {error}", parameter="cursor")
    targets = _Targets(daemon)
    names = sorted(name for name in targets.names() if name > after)
    page = names[: call.query["limit"]]
    following = cursor.encode("targets", page[-1]) if len(names) > len(page) else None
    return json_reply({"items": [targets.json(name, call.now) for name in page], "next": following})


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    targets, name = _Targets(daemon), call.path["name"]
    if name not in targets.names():
        return problem_reply(404, "no action goes to a target of this name, and nothing waits there")
    return json_reply(targets.json(name, call.now))


class _Targets:
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
