"""Try a payload: what the running rules would do with it, and why. Nothing is stored or sent."""

from collections.abc import Mapping

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import View
from router.domain.errors import PayloadError
from router.domain.reply import Reply
from router.rules.dry_run.preview import Preview, made_event, preview

_MOST_RULES = 200
LARGEST_FORM = 3 * 1024 * 1024  #: a payload of 1 MiB, as in the API: a form escapes most punctuation of JSON


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    ruleset = daemon.ruleset()
    found: Preview | None = None
    error, source = "", ruleset.sources.get(read.sent("source"))
    if read.method == "POST" and source is None:
        error = "Choose a source."
    elif source is not None:
        content_type = read.sent("content_type") or "application/json"
        event = made_event(source, read.sent("payload").encode(), _headers(read), "", content_type, read.now)
        try:
            found = preview(ruleset, event, arriving=True, explained=True, most=_MOST_RULES)
        except PayloadError as problem:
            error = f"The payload can't be parsed: {problem}. Such a request is answered 400."
    text = render(
        "trial.html", session=session, here="/try", sources=sorted(ruleset.sources), found=found, error=error,
        sent={name: read.sent(name) for name in ("source", "payload", "headers", "content_type")}, now=read.now,
        unexplained=max(0, len(ruleset.rules) - _MOST_RULES),
    )  # fmt: skip
    return html(text)


def _headers(read: PageRequest) -> list[tuple[str, str]]:
    lines = (line.partition(":") for line in read.sent("headers").splitlines())
    return [(name.strip(), value.strip()) for name, colon, value in lines if colon and name.strip()]


VIEWS = (View("/try", _show, ("GET", "POST"), form_bytes=LARGEST_FORM),)
