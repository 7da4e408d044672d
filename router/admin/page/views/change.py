"""Try a change: an edited text of the rules, its problems at their places, and what it would do to the newest events.

Nothing is saved, executed or sent: the edited text is a download.
"""

import time
from collections.abc import Mapping
from typing import Any

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, download, html
from router.admin.page.payloads import sees_payloads
from router.admin.page.render import render
from router.admin.page.rules_work import WORK_SECONDS, rules_work
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.domain.deliveries import RulesetText
from router.domain.reply import Reply
from router.operate.plan.recent import RecentPlan, plan_recent
from router.operate.plan.report import NOT_COVERED
from router.operate.plan.words import WORDS
from router.operate.try_rules import RulesFileText, placed, rules_files, try_text, unread_includes
from router.operate.words import size
from router.rules.compile.loader import Loaded
from router.rules.ruleset import Ruleset
from router.runtime.pacing import GC_PAUSED

LARGEST_FORM = 6 * 1024 * 1024  #: a text takes a third to two thirds of it, since a form escapes most punctuation
LARGEST_TEXT = 2 * 1024 * 1024  #: bytes of a file that can be edited here; some 10,000 rules
PLANNED_EVENTS = 5_000  #: the newest; some 1.5 s on an idle core
PLAN_SECONDS = 4.0  #: limit of a plan; the rest of WORK_SECONDS is for loading the text
DAY_MS = 86_400_000
_SAMPLES = 3
_MOST_PROBLEMS = 100
_MOST_ENTRIES = 100


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    running = daemon.ruleset()
    files = rules_files(running.text, daemon.rules)
    chosen = _chosen(files, read.sent("file") or read.one("file"))
    if read.method == "POST":
        text = _text(read, chosen)
        tried = _try(daemon, read, session, running, chosen, text)
    elif len(chosen.text.encode()) > LARGEST_TEXT:
        raise Problem(
            413, f"{chosen.label} has {size(len(chosen.text.encode()))}, too much to edit here; use webhook-router plan"
        )
    else:
        text, tried = chosen.text, {}
    page = render(
        "change.html", session=session, here="/rules", files=files, chosen=chosen, text=text, tried=tried, now=read.now,
        not_covered=NOT_COVERED, words=WORDS,
    )  # fmt: skip
    return html(page)


def _download(daemon: DaemonHandle, read: PageRequest, _: Session, __: Mapping[str, str]) -> Reply:
    chosen = _chosen(rules_files(daemon.ruleset().text, daemon.rules), read.sent("file"))
    return download(_text(read, chosen).encode("utf-8", "replace"), "application/yaml; charset=utf-8", _plain(chosen))


def _chosen(files: list[RulesFileText], label: str) -> RulesFileText:
    """The file that is tried, by default the main file. Raises Problem."""
    for file in files:
        if label in ("", file.label):
            return file
    raise Problem(404, "the running rules have no such file; perhaps they were reloaded in the meantime")


def _text(read: PageRequest, chosen: RulesFileText) -> str:
    """The edited text. A form has CR LF at each line end; they are turned back into the file's own line ends."""
    text = read.sent("text").replace("\r\n", "\n")
    return text.replace("\n", "\r\n") if "\r\n" in chosen.text else text


def _plain(chosen: RulesFileText) -> str:
    """A file name that no header or shell can misread."""
    name = chosen.label.rpartition("/")[2]
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name) or "rules.yaml"


def _try(
    daemon: DaemonHandle, read: PageRequest, session: Session, running: Ruleset, chosen: RulesFileText, text: str
) -> dict[str, Any]:
    unread = unread_includes(running.text, chosen, text)
    if unread and daemon.is_for_reader:  # the read-only token must not learn whether such a file exists
        raise Problem(403, "this read-only token can't try new entries of include:")
    with rules_work(daemon, "webhook-router check and plan"):
        loaded = _loaded(daemon, running.text, chosen, text)
        sees = sees_payloads(daemon, session)
        plan = _planned(daemon, read, running, loaded.ruleset) if loaded.ruleset is not None and sees else None
    found = daemon.shown_problems(loaded)
    problems = placed(found[:_MOST_PROBLEMS], chosen, text)
    return {
        "problems": problems,
        "more_problems": len(found) - len(problems),
        "loads": loaded.ruleset is not None,
        "is_same": text == chosen.text,
        "unread": unread,
        "sees": sees,
        "plan": plan,
        "report": plan.report.as_json() if plan is not None else None,
        "entries": plan.report.sorted_entries()[:_MOST_ENTRIES] if plan is not None else [],
        "more_entries": max(0, len(plan.report.entries) - _MOST_ENTRIES) if plan is not None else 0,
        "answers": plan.report.sorted_answers()[:_MOST_ENTRIES] if plan is not None else [],
    }


def _loaded(daemon: DaemonHandle, running: RulesetText, chosen: RulesFileText, text: str) -> Loaded:
    with GC_PAUSED:
        return try_text(daemon.loader, running, daemon.rules, chosen, text)


def _planned(daemon: DaemonHandle, read: PageRequest, before: Ruleset, after: Ruleset) -> RecentPlan:
    end = time.monotonic() + min(PLAN_SECONDS, WORK_SECONDS)
    return plan_recent(
        daemon.store, before, after, since=read.now - DAY_MS, most=PLANNED_EVENTS, samples=_SAMPLES,
        is_over=lambda: daemon.stopping() or time.monotonic() > end,
    )  # fmt: skip


VIEWS = (
    View("/rules/try", _show, ("GET", "POST"), form_bytes=LARGEST_FORM),
    View("/rules/try/download", _download, ("POST",), form_bytes=LARGEST_FORM),
)
