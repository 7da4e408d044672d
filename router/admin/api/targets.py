"""/api/targets: what waits at each target, its limits, and pauses."""

from router.admin.api import cursor
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.parameters import CURSOR, LIMITED
from router.admin.api.replies import body_problem, json_reply, problem_reply
from router.admin.api.request_models import PauseTarget
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.domain.units import seconds
from router.operate.pausing import (
    PausedByFile,
    TargetList,
    UnknownTarget,
    check_known,
    pause,
    paused_json,
    read_targets,
    resume,
)


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    after = ""
    if call.query["cursor"] is not None:
        try:
            [after] = cursor.decode(call.query["cursor"], "targets", str)
        except ValueError as error:
            return problem_reply(400, f"parameter cursor: {error}", parameter="cursor")
    targets = _targets(daemon, call.now)
    names = [name for name in targets.names if name > after]
    page = names[: call.query["limit"]]
    following = cursor.encode("targets", page[-1]) if len(names) > len(page) else None
    return json_reply({"items": [targets.json(name, call.now) for name in page], "next": following})


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    targets, name = _targets(daemon, call.now), call.path["name"]
    if name not in targets.names:
        return problem_reply(404, "no action goes to a target of this name, and nothing waits there")
    return json_reply(targets.json(name, call.now))


def _targets(daemon: DaemonHandle, now: int) -> TargetList:
    return read_targets(daemon.store, daemon.ruleset(), daemon.pid, now)


def _pause(daemon: DaemonHandle, call: Call) -> Reply:
    body: PauseTarget = call.body
    try:
        until = None if body.duration is None else call.now + max(1, round(seconds(body.duration) * 1000))
    except ValueError as error:
        return body_problem("for", str(error))
    if (unknown := _unknown(daemon, call)) is not None:
        return unknown
    pause(daemon.store, call.path["name"], until, call.now)
    return json_reply(paused_json(daemon.store, call.path["name"], call.now))


def _resume(daemon: DaemonHandle, call: Call) -> Reply:
    if (unknown := _unknown(daemon, call)) is not None:
        return unknown
    try:
        resume(daemon.store, call.path["name"], call.now)
    except PausedByFile as error:
        return problem_reply(409, str(error))
    return json_reply(paused_json(daemon.store, call.path["name"], call.now))


def _unknown(daemon: DaemonHandle, call: Call) -> Reply | None:
    try:
        check_known(_targets(daemon, call.now), daemon.ruleset(), [call.path["name"]])
    except UnknownTarget as error:
        return problem_reply(404, f"no target of this name is known{error.cure}")
    return None


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/targets",
        "List targets by name: what waits at each, and its limits.",
        _list,
        {200: ResponseSpec("A page of the list.", "TargetList")},
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
    Endpoint(
        "POST",
        "/api/targets/{name}/pause",
        "Pause a target: its deliveries are held. One that is paused gets the new end.",
        _pause,
        {200: ResponseSpec("What pauses it now.", "PausedTarget")},
        body=PauseTarget,
        problems={404: "There is no such target."},
    ),
    Endpoint(
        "POST",
        "/api/targets/{name}/resume",
        "End a pause that a command or this API began.",
        _resume,
        {200: ResponseSpec("What still pauses it: the rules file may.", "PausedTarget")},
        problems={404: "There is no such target.", 409: "Only the rules file pauses it."},
    ),
)
