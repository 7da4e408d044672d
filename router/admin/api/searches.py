"""Searches by headers and payload, which look at a bounded number of rows."""

import time

from router.admin.api.endpoint import Call
from router.admin.api.replies import problem_reply
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply
from router.operate.search import Bounds, EventTest, path_names
from router.rules.compile.where import WhereError, compile_where

SCANNED = 5_000  #: rows that one request looks at; `next` goes on
SCAN_SECONDS = 2.0  #: that one request may look, so that others are not held up


def event_test(daemon: DaemonHandle, call: Call) -> EventTest | Reply:
    """What the parameters `header` and `where` ask of an event, or a reply that says what is wrong."""
    sources = daemon.ruleset().sources
    try:
        where = compile_where(call.query["where"], "where", path_names(sources))
    except WhereError as error:
        return problem_reply(400, f"parameter {error}", parameter="where")
    return EventTest(call.query["header"], where, sources)


def bounds(daemon: DaemonHandle) -> Bounds:
    """How much one request looks at."""
    end = time.monotonic() + SCAN_SECONDS
    return Bounds(SCANNED, lambda: daemon.stopping() or time.monotonic() > end)
