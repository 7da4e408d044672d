"""What the admin listener reads from the store: a view of the page, or an endpoint of the API that changes nothing.

A reading holds everything that its answer needs, so another process can give the answer.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.domain.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.admin.api.endpoint import Call
    from router.admin.page.exchange import PageRequest
    from router.admin.page.sessions import Session

    AnswerElsewhere = Callable[["Reading"], Reply | None]


@dataclass(frozen=True, slots=True)
class ViewReading:
    """A view of the page, for a signed-in session."""

    request: "PageRequest"
    session: "Session"


@dataclass(frozen=True, slots=True)
class EndpointReading:
    """An endpoint of the API."""

    method: str
    path: str
    call: "Call"
    may_act: bool  #: False: the read-only token asks


Reading = ViewReading | EndpointReading


def answered_here(_: Reading) -> Reply | None:
    """None: no other process answers."""
    return None
