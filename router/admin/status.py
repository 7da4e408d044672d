"""How things stand: as `webhook-router status --json` has it."""

import os

from router.admin.answers import answered
from router.admin.daemon import Daemon
from router.admin.endpoint import Answer, Call, Endpoint
from router.model import Reply
from router.operations.status import look


def _show(daemon: Daemon, call: Call) -> Reply:
    return answered(look(daemon.store, daemon.path, os.getpid()).as_json(call.now))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/status",
        "Show the daemon, its rules, what waits at each target, breakers, and the store's size.",
        _show,
        {200: Answer("What `status --json` prints.", "Status")},
    ),
)
