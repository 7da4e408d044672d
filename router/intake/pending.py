"""An answer that is ready once something has happened, usually a commit."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from router.model import Reply


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """An answer to come."""

    future: "Future[Any]"  #: what it waits for
    reply: Callable[[float], Reply]  #: the answer; waits at most that many seconds, and says so when it was too short
