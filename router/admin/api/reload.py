"""POST /-/reload: reads the rules file again, and replies with the result."""

from http import HTTPStatus
from typing import Any

from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.replies import json_reply, problem_reply
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.operate.serialize import problem_json
from router.rules.reload.drift import DriftReason, ReloadRefused

RELOAD_SECONDS = 30.0  #: limit of the reply; 100,000 rules load in half of that
_RETRY_AFTER_SECONDS = "5"

_STATUSES = {
    DriftReason.UNSETTLED: HTTPStatus.GATEWAY_TIMEOUT,
    DriftReason.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    DriftReason.STOPPING: HTTPStatus.SERVICE_UNAVAILABLE,
    DriftReason.UNRECORDED: HTTPStatus.SERVICE_UNAVAILABLE,
    DriftReason.FAULT: HTTPStatus.INTERNAL_SERVER_ERROR,
}  #: for failures that the file did not cause; 422 for all others


def _reload(daemon: DaemonHandle, _: Call) -> Reply:
    result = daemon.reload(RELOAD_SECONDS)
    if isinstance(result, ReloadRefused):
        return _problem(result)
    change = result.change
    content: dict[str, Any] = {
        "hash": result.hash,
        "rules": result.rules,
        "added": list(change.added),
        "removed": list(change.removed),
        "changed": list(change.changed),
        "besides": list(change.besides),
        "unchanged": not change,
        "warnings": [problem_json(problem) for problem in result.warnings],
    }
    return json_reply(content)


def _problem(refused: ReloadRefused) -> Reply:
    status = _STATUSES.get(refused.why, HTTPStatus.UNPROCESSABLE_ENTITY)
    problems = [problem_json(problem) for problem in refused.problems]
    detail = (
        "the rules file has problems, listed here; the running rules stay"
        if status == HTTPStatus.UNPROCESSABLE_ENTITY
        else f"{refused.problems[0].message}; the running rules stay"
    )
    headers = [("Retry-After", _RETRY_AFTER_SECONDS)] if status == HTTPStatus.SERVICE_UNAVAILABLE else []
    return problem_reply(status, detail, *headers, why=refused.why.value, hash=refused.hash, problems=problems)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/-/reload",
        "Read the rules file and the secret files again; wait for the result.",
        _reload,
        {200: ResponseSpec("These rules run now, and what changed by it.", "Reloaded")},
        problems={
            422: "The file has problems, as `check --json` lists them; `hash` is of the rules that stay.",
            503: "The store can't record the rules' text at the moment, or the daemon stops; the running rules stay.",
            504: "It takes too long, and continues; or the file is still being written.",
        },
    ),
)
