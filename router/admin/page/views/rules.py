"""The running rules: each with its sources, actions, waiting deliveries and recent matches; and their text."""

from collections.abc import Mapping

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import View
from router.domain.activity import time_of_id
from router.domain.events import UNMATCHED
from router.domain.reply import Reply
from router.operate.status import note
from router.operate.try_rules import rules_files

_MOST = 500  #: rules of the view
_SHOWN_TEXT = 256 * 1024  #: characters of each file's text


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    ruleset = daemon.ruleset()
    rules = ruleset.rules[:_MOST]
    names = [rule.name for rule in rules]
    waiting, age = daemon.counts.waiting(daemon.store, names)
    text = render(
        "rules.html", session=session, here="/rules", ruleset=ruleset, rules=rules, now=read.now, file=daemon.rules,
        waiting=waiting, age_ms=int(age * 1000), left_out=len(ruleset.rules) - len(rules), unmatched=UNMATCHED,
        matches=daemon.store.recent_matches([*names, UNMATCHED]), time_of_id=time_of_id,
        noted=note(daemon.store, "rules"), files=rules_files(ruleset.text, daemon.rules), most=_SHOWN_TEXT,
    )  # fmt: skip
    return html(text)


VIEWS = (View("/rules", _show),)
