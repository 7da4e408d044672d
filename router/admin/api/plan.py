"""/api/rules/plan: what a rules file would do to stored events. Nothing is executed, sent or written."""

import os
import time
from pathlib import Path

from router.admin.api import cursor
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.parameters import CURSOR, TIME_FORM, UNTIL, Parameter, read_time, text
from router.admin.api.replies import json_reply, problem_reply
from router.admin.api.rules import CHECK_WAIT_SECONDS
from router.admin.daemon_handle import DaemonHandle
from router.domain.filters import EventFilter
from router.domain.reply import Reply
from router.operate.json_times import times
from router.operate.plan.report import SAMPLES, VERSION, PlanReport
from router.operate.plan.run import Plan
from router.operate.scan import ScanPosition, WorkLimit
from router.rules.ruleset import Ruleset
from router.runtime.pacing import GC_PAUSED, TooLong, resting_while_busy

PLAN_SECONDS = 10.0  #: work of one request: loading the file, and events; `next` continues
MAX_PLANNED = 20_000  #: events of one request, some 5 s on an idle core
DAY_MS = 86_400_000
_SHOWN_PROBLEMS = 10


def _plan(daemon: DaemonHandle, call: Call) -> Reply:
    try:
        position = (
            ScanPosition(*cursor.decode(call.query["cursor"], "plan", int, int)) if call.query["cursor"] else None
        )
    except ValueError as error:
        return problem_reply(400, f"parameter cursor: {error}", parameter="cursor")
    if not daemon.checking.acquire(timeout=CHECK_WAIT_SECONDS):
        return problem_reply(
            503, "another check or plan is under way; try again when it has ended", ("Retry-After", "5")
        )
    try:
        with resting_while_busy(daemon.busy, seconds=PLAN_SECONDS):
            return _planned(daemon, call, position or ScanPosition())
    except TooLong:
        return problem_reply(
            422, "planning this file is too much work for a running daemon; `webhook-router plan` has no such limit"
        )
    finally:
        daemon.checking.release()


def _planned(daemon: DaemonHandle, call: Call, position: ScanPosition) -> Reply:
    end = time.monotonic() + PLAN_SECONDS / 2
    after = _loaded(daemon, call.body)
    if isinstance(after, Reply):
        return after
    query = call.query
    since = call.now - DAY_MS if query["since"] is None else query["since"]
    report, then = PlanReport(SAMPLES), query["against"] == "then"
    before = None if then else daemon.ruleset()
    limit = WorkLimit(MAX_PLANNED, lambda: daemon.stopping() or time.monotonic() > end)
    recorded = daemon.loader.load_recorded
    work = Plan(daemon.store, after, report, before, lambda found: recorded(found).ruleset, limit=limit)
    work.run(EventFilter(query["source"], since, query["until"]), position)
    facts = {
        "version": VERSION,
        "new": {"file": None, "hash": after.hash},
        "against": {"rules": query["against"], "hash": before.hash if before is not None else None},
        **times(since=since, until=query["until"] or call.now),
    }
    following = cursor.encode("plan", *report.rest) if report.rest is not None else None
    return json_reply({**facts, **report.as_json(), "next": following})


def _loaded(daemon: DaemonHandle, body: bytes) -> Ruleset | Reply:
    folder = Path(os.path.realpath(daemon.rules))
    with GC_PAUSED:
        loaded = daemon.loader.load(body, "rules.yaml", folder if folder.is_dir() else folder.parent)
    if loaded.ruleset is not None:
        return loaded.ruleset
    shown = "; ".join(str(problem) for problem in loaded.errors[:_SHOWN_PROBLEMS])
    return problem_reply(422, f"the rules file has problems, which /api/rules/check lists: {shown}")


def _against(text: str, _: int) -> str:
    if text not in ("running", "then"):
        raise ValueError("expected running or then")
    return text


ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/rules/plan",
        "Show what a rules file would do to stored events, beside the running rules; execute and send nothing.",
        _plan,
        {
            200: ResponseSpec(
                "What `plan --json` prints, of the events that one request reads; `next` continues.", "Planned"
            )
        },
        (
            Parameter("since", f"Events since then, a day by default: {TIME_FORM}.", {"type": "string"}, read_time),
            UNTIL,
            text("source", "Only events that came in by this source."),
            Parameter(
                "against",
                "running: the running rules; then: those that routed each event.",
                {"type": "string", "enum": ["running", "then"], "default": "running"},
                _against,
                default="running",
            ),
            CURSOR,
        ),
        body="yaml",
        problems={422: "The file has problems, or planning it is too much work for a running daemon."},
    ),
)
