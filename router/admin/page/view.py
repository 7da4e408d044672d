"""A view of the page: a path, and a function that shows it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest
from router.admin.page.sessions import Session
from router.domain.reply import Reply

FORM_BYTES = 256 * 1024  #: of a form, unless its view takes more

Show = Callable[[DaemonHandle, PageRequest, Session, Mapping[str, str]], Reply]
"""A view's function. It also gets the fields of the path. Raises Problem, StoreError."""


class Problem(Exception):
    """Why a request can't be answered, in words for the operator."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class View:
    """One view of the page."""

    path: str  #: with fields, such as /events/{id}
    show: Show
    methods: tuple[str, ...] = ("GET",)
    acts: bool = False  #: whether a POST to it changes anything
    form_bytes: int = FORM_BYTES  #: of a form, from a signed-in browser

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths of the view."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))
