"""Which payloads a session may see. Every view that shows a body, an excerpt or a value asks here."""

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.sessions import Session


def sees_payloads(
    daemon: DaemonHandle,  # noqa: ARG001 - the sources say it
    session: Session,  # noqa: ARG001 - the token that may act sees all
    source: str | None = None,  # noqa: ARG001
) -> bool:
    """Whether the session may see bodies, excerpts and values of this source's events. None: of all sources."""
    return True


def hidden_note() -> str:
    """What stands where a payload is hidden."""
    return "Hidden: this source keeps its payloads from the token that may only read."
