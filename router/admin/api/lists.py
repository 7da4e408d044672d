"""Lists and long changes in pages: each reply has a cursor for the next one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from router.admin.api import cursor
from router.admin.api.endpoint import Call
from router.admin.api.replies import body_problem, json_reply, problem_reply
from router.domain.reply import Reply
from router.operate.scan import ScanPosition


class _HasSeq(Protocol):
    @property
    def seq(self) -> int: ...


class _Report(Protocol):
    @property
    def rest(self) -> ScanPosition | None: ...

    def as_json(self) -> dict[str, Any]: ...


_T = TypeVar("_T", bound=_HasSeq)
_T_co = TypeVar("_T_co", bound=_HasSeq, covariant=True)


def list_page(
    call: Call, kind: str, newest: Callable[[int, int], Sequence[_T]], to_json: Callable[[_T], Mapping[str, Any]]
) -> Reply:
    """A page of a list. `newest(limit, after)` gives at most `limit` rows older than seq `after`; 0: the newest."""
    after, limit = _after(call, kind), call.query["limit"]
    if isinstance(after, Reply):
        return after
    found = newest(limit + 1, after)
    page = found[:limit]
    following = cursor.encode(kind, page[-1].seq) if len(found) > limit else None
    return json_reply({"items": [to_json(row) for row in page], "next": following})


def _after(call: Call, kind: str) -> int | Reply:
    """The seq in the request's cursor, 0 without one; or a reply that says why the cursor is not valid."""
    if call.query["cursor"] is None:
        return 0
    try:
        return int(*cursor.decode(call.query["cursor"], kind, int))
    except ValueError as error:
        return problem_reply(400, f"parameter cursor: {error}", parameter="cursor")


class _Found(Protocol[_T_co]):
    @property
    def items(self) -> Sequence[_T_co]: ...

    @property
    def scanned(self) -> int: ...

    @property
    def scanned_to(self) -> _T_co | None: ...


def search_page(
    call: Call,
    kind: str,
    find: Callable[[int, int], _Found[_T]],
    to_json: Callable[[_T], Mapping[str, Any]],
    left_out: Sequence[str],
) -> Reply:
    """Like `list_page`, for a search that reads a bounded number of rows and says how many. `left_out`: sources that
    were not searched."""
    after, limit = _after(call, kind), call.query["limit"]
    if isinstance(after, Reply):
        return after
    found = find(limit + 1, after)
    page = found.items[:limit]
    last = page[-1] if len(found.items) > limit else found.scanned_to
    following = cursor.encode(kind, last.seq) if last is not None else None
    content = {"items": [to_json(row) for row in page], "next": following, "scanned": found.scanned}
    return json_reply({**content, "hidden_sources": list(left_out)} if left_out else content)


def scan_position(text: str | None, kind: str) -> ScanPosition | Reply:
    """The position in a cursor, or a reply that says why the cursor is not valid."""
    if text is None:
        return ScanPosition()
    try:
        return ScanPosition(*cursor.decode(text, kind, int, int))
    except ValueError as error:
        return body_problem("cursor", str(error))


def change_reply(report: _Report, kind: str) -> Reply:
    """A reply with the report of a change, and the cursor for the rest."""
    rest = cursor.encode(kind, *report.rest) if report.rest else None
    return json_reply({**report.as_json(), "more": rest is not None, "next": rest})
