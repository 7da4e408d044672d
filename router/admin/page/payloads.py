"""Which payloads a session may see. Every view that shows a body, an excerpt or a value asks this module."""

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.sessions import Session


def sees_payloads(daemon: DaemonHandle, session: Session, source: str | None = None) -> bool:
    """Whether the session may see bodies, excerpts and values of this source's events. None: of all sources."""
    if session.may_act:
        return True
    return not daemon.hidden_sources() if source is None else not daemon.hides(source)


def hidden_note() -> str:
    """The text in place of a hidden payload."""
    return "Hidden: this source hides its payloads from the read-only token."
