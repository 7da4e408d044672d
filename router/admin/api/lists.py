"""Lists in pages, and long pieces of work in portions: where each goes on stands in the answer, as a cursor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from router.admin.api import cursor
from router.admin.api.bodies import refused_key
from router.admin.api.endpoint import Call
from router.admin.api.replies import answered, refused
from router.domain.reply import Reply
from router.operate.bulk_change import ScanPosition


class _Placed(Protocol):
    @property
    def seq(self) -> int: ...


class _Done(Protocol):
    @property
    def rest(self) -> ScanPosition | None: ...

    def as_json(self) -> dict[str, Any]: ...


_T = TypeVar("_T", bound=_Placed)


def listed(
    call: Call, kind: str, newest: Callable[[int, int], Sequence[_T]], shape: Callable[[_T], Mapping[str, Any]]
) -> Reply:
    """A page of a kind of list; `newest` gives so many at the most, from below a place down."""
    after, limit = 0, call.query["limit"]
    if call.query["cursor"] is not None:
        try:
            [after] = cursor.read(call.query["cursor"], kind, int)
        except ValueError as error:
            return refused(400, f"parameter cursor: {error}", parameter="cursor")
    found = newest(limit + 1, after)
    shown = found[:limit]
    more = cursor.written(kind, shown[-1].seq) if len(found) > limit else None
    return answered({"items": [shape(one) for one in shown], "next": more})


def place_of(text: str | None, kind: str) -> ScanPosition | Reply:
    """Where a kind of work goes on; or why the cursor is none."""
    if text is None:
        return ScanPosition()
    try:
        return ScanPosition(*cursor.read(text, kind, int, int))
    except ValueError as error:
        return refused_key("cursor", str(error))


def reported(report: _Done, kind: str) -> Reply:
    """What was done, and where the rest of it goes on."""
    rest = cursor.written(kind, *report.rest) if report.rest else None
    return answered({**report.as_json(), "more": rest is not None, "next": rest})
