"""/api/status: what `webhook-router status --json` prints."""

from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.replies import json_reply
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.operate.status import read_status


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    return json_reply(read_status(daemon.store, daemon.pid).as_json(call.now))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/status",
        "Show the daemon, its rules, what waits at each target, breakers, and the store's size.",
        _show,
        {200: ResponseSpec("What `status --json` prints.", "Status")},
    ),
)
