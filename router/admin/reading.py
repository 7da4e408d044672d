"""What the admin listener reads of the store: a view of the page, or an endpoint of the API that changes nothing.

A reading says all that its answer needs, so that another process may give it.
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
    """A view of the page, for who is signed in."""

    request: "PageRequest"
    session: "Session"


@dataclass(frozen=True, slots=True)
class EndpointReading:
    """An endpoint of the API."""

    method: str
    path: str
    call: "Call"
    may_act: bool  #: False: it is asked by who may only read


Reading = ViewReading | EndpointReading


def answered_here(_: Reading) -> Reply | None:
    """No other process answers."""
    return None
