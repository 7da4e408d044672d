"""How things stand: as `webhook-router status --json` has it."""

import os

from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.replies import answered
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.operate.status import look


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    return answered(look(daemon.store, os.getpid()).as_json(call.now))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/status",
        "Show the daemon, its rules, what waits at each target, breakers, and the store's size.",
        _show,
        {200: ResponseSpec("What `status --json` prints.", "Status")},
    ),
)
