"""The targets: what waits at each, and its limits. Pause and resume."""

from collections.abc import Mapping

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html, see_other
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import Problem, View
from router.domain.reply import Reply
from router.domain.units import seconds
from router.operate.pausing import PausedByFile, UnknownTarget, check_known, pause, read_targets, resume

_MOST = 500  #: targets of the view


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    depths, age = daemon.counts.depths(daemon.store)
    targets = read_targets(daemon.store, daemon.ruleset(), daemon.pid, read.now, depths)
    shown = [targets.json(name, read.now) for name in targets.names[:_MOST]]
    text = render(
        "targets.html", session=session, here="/targets", targets=shown, left_out=len(targets.names) - len(shown),
        now=read.now, age_ms=int(age * 1000),
    )  # fmt: skip
    return html(text)


def _pause(daemon: DaemonHandle, read: PageRequest, _: Session, __: Mapping[str, str]) -> Reply:
    name = _known(daemon, read)
    duration = read.sent("for").strip()
    try:
        until = read.now + max(1, round(seconds(duration) * 1000)) if duration else None
    except ValueError as error:
        raise Problem(409, f"for: {error}") from None
    pause(daemon.store, name, until, read.now)
    return see_other("/targets")


def _resume(daemon: DaemonHandle, read: PageRequest, _: Session, __: Mapping[str, str]) -> Reply:
    try:
        resume(daemon.store, _known(daemon, read), read.now)
    except PausedByFile as error:
        raise Problem(409, str(error)) from None
    return see_other("/targets")


def _known(daemon: DaemonHandle, read: PageRequest) -> str:
    """The target in the form. Raises Problem."""
    name = read.sent("target")
    depths, _ = daemon.counts.depths(daemon.store)
    targets = read_targets(daemon.store, daemon.ruleset(), daemon.pid, read.now, depths)
    try:
        check_known(targets, daemon.ruleset(), [name])
    except UnknownTarget as error:
        raise Problem(404, str(error)) from None
    return name


VIEWS = (
    View("/targets", _show),
    View("/targets/pause", _pause, ("POST",), acts=True),
    View("/targets/resume", _resume, ("POST",), acts=True),
)
