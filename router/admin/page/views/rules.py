"""The rules that run: each with its sources, actions and what waits for it; and their text."""

from collections.abc import Mapping

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import View
from router.domain.reply import Reply
from router.operate.status import note

_MOST = 500  #: rules of the view


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    ruleset = daemon.ruleset()
    rules = ruleset.rules[:_MOST]
    text = render(
        "rules.html", session=session, here="/rules", ruleset=ruleset, rules=rules, now=read.now, file=daemon.rules,
        waiting=daemon.store.waiting([rule.name for rule in rules]), left_out=len(ruleset.rules) - len(rules),
        noted=note(daemon.store, "rules"),
    )  # fmt: skip
    return html(text)


VIEWS = (View("/rules", _show),)
