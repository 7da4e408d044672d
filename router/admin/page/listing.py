"""Lists in pages: which rows the URL asks for, and the URLs of the pages before and after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from router.admin.page.exchange import Fields, PageRequest, read_fields
from router.admin.page.render import address
from router.admin.page.view import Problem
from router.operate.parse_time import parse_time
from router.store.search_back import FoundBack

ROWS = 50  #: of a page; a screen shows some thirty


class _HasSeq(Protocol):
    @property
    def seq(self) -> int: ...


_T = TypeVar("_T", bound=_HasSeq)


@dataclass(frozen=True, slots=True)
class Listed(Generic[_T]):
    """One page of a list."""

    rows: Sequence[_T]
    chosen: dict[str, Any]  #: the filter as in the URL
    older: str | None  #: the URL of older rows; None: there are none
    is_searching: bool  #: the time was over before older rows were read


def page_of(read: PageRequest, names: Sequence[str], back: Callable[[int, int], FoundBack[_T]]) -> Listed[_T]:
    """The rows that the address asks for; `back(limit, after)` gives rows older than seq `after`.

    Raises Problem, StoreError.
    """
    after = read.one("after")
    if after and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise Problem(404, "this page of the list does not exist; go back to its beginning")
    found = back(ROWS + 1, int(after or 0))
    rows = found.rows
    chosen = {name: read.query.get(name, []) if name == "state" else read.one(name) for name in names}
    following = rows[ROWS - 1].seq if len(rows) > ROWS else found.searched_to
    older = address(read.path, **chosen, after=str(following)) if following is not None else None
    return Listed(rows[:ROWS], chosen, older, len(rows) <= ROWS and older is not None)


def time_in(read: PageRequest, name: str) -> int | None:
    """A time of the filter, in ms. Raises Problem."""
    text = read.one(name)
    if not text:
        return None
    try:
        return parse_time(text, read.now)
    except ValueError as error:
        raise Problem(404, f"{name}: {error}") from None


def fields_of(query: str) -> Fields:
    """The filter of a form, as the query of a URL. Raises Problem."""
    try:
        return read_fields(query)
    except ValueError:
        raise Problem(409, "the filter is too long") from None
