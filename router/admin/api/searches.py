"""Searches by headers and payload. They read a bounded number of rows."""

import time

from router.admin.api.endpoint import Call
from router.admin.api.replies import problem_reply
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.operate.search import Bounds, EventTest, path_names
from router.rules.compile.where import WhereError, compile_where

SCANNED = 5_000  #: rows that one request reads; `next` continues
SCAN_SECONDS = 2.0  #: limit of one request, so that others are not delayed


def event_test(daemon: DaemonHandle, call: Call) -> EventTest | Reply:
    """The conditions of the parameters `header` and `where`, or a reply that says what is wrong."""
    sources = daemon.ruleset().sources
    try:
        where = compile_where(call.query["where"], "where", path_names(sources))
    except WhereError as error:
        return problem_reply(400, f"parameter {error}", parameter="where")
    return EventTest(call.query["header"], where, sources)


def bounds(daemon: DaemonHandle) -> Bounds:
    """The limits of one request."""
    end = time.monotonic() + SCAN_SECONDS
    return Bounds(SCANNED, lambda: daemon.stopping() or time.monotonic() > end)
