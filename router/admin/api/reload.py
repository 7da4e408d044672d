"""POST /-/reload: reads the rules file again, and answers once it is known what came of it."""

from http import HTTPStatus
from typing import Any

from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.replies import answered, refused
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.operate.serialize import problem_json
from router.rules.reload.drift import DriftReason, ReloadRefused

RELOAD_SECONDS = 30.0  #: that an answer waits; 100,000 rules load in half of that
_UNAVAILABLE_SECONDS = "5"  #: after which to ask again

_STATUSES = {
    DriftReason.UNSETTLED: HTTPStatus.GATEWAY_TIMEOUT,
    DriftReason.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    DriftReason.STOPPING: HTTPStatus.SERVICE_UNAVAILABLE,
    DriftReason.UNRECORDED: HTTPStatus.SERVICE_UNAVAILABLE,
    DriftReason.FAULT: HTTPStatus.INTERNAL_SERVER_ERROR,
}  #: of what is no fault of the file; all else is 422


def _reload(daemon: DaemonHandle, _: Call) -> Reply:
    found = daemon.reload(RELOAD_SECONDS)
    if isinstance(found, ReloadRefused):
        return _refusal(found)
    change = found.change
    shown: dict[str, Any] = {
        "hash": found.hash,
        "rules": found.rules,
        "added": list(change.added),
        "removed": list(change.removed),
        "changed": list(change.changed),
        "besides": list(change.besides),
        "unchanged": not change,
        "warnings": [problem_json(problem) for problem in found.warnings],
    }
    return answered(shown)


def _refusal(found: ReloadRefused) -> Reply:
    status = _STATUSES.get(found.why, HTTPStatus.UNPROCESSABLE_ENTITY)
    problems = [problem_json(problem) for problem in found.problems]
    detail = (
        "the rules file has problems, listed here; the running rules stay"
        if status == HTTPStatus.UNPROCESSABLE_ENTITY
        else f"{found.problems[0].message}; the running rules stay"
    )
    headers = [("Retry-After", _UNAVAILABLE_SECONDS)] if status == HTTPStatus.SERVICE_UNAVAILABLE else []
    return refused(status, detail, *headers, why=found.why.value, hash=found.hash, problems=problems)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/-/reload",
        "Read the rules file again, and the secret files; wait for what comes of it.",
        _reload,
        {200: ResponseSpec("These rules run now, and what changed by it.", "Reloaded")},
        problems={
            422: "The file has problems, as `check --json` lists them; `hash` is of the rules that stay.",
            503: "The store can't take the rules' text just now, or the daemon stops; the running rules stay.",
            504: "It takes too long, and goes on; or the file is still being written.",
        },
    ),
)
