"""The state of a polled source: how a poll begins with it, and what it is after each page."""

from dataclasses import replace

from router.domain.ids import uuid7
from router.domain.polls import REFRESH_MS, PollState, item_id
from router.intake.poll.fetch import Page
from router.intake.poll.spec import PollSpec
from router.intake.poll.values import as_cursor, greatest, like
from router.payload.body import Format


def new_state(source: str, spec: PollSpec, before: PollState | None, now: int) -> PollState:
    """The state to poll with: the stored state, unless the source starts anew."""
    if before is not None and before.fingerprint == spec.fingerprint and not _has_other_cursor(before, spec):
        return before
    return PollState(source, uuid7(now), "", spec.fingerprint)


def _has_other_cursor(before: PollState, spec: PollSpec) -> bool:
    """Whether the stored cursor is of another kind than the rules now ask for. The service would refuse or misread
    it."""
    return before.cursor is not None and spec.cursor is not None and before.cursor_of not in ("", spec.cursor_of)


def is_fresh(spec: PollSpec, state: PollState, now: int) -> bool:
    """Whether an unchanged answer need not be read. Now and then it is read all the same, so that the ids of its items
    stay remembered."""
    return not spec.has_items or 0 <= now - state.refreshed_at < REFRESH_MS


def is_same(spec: PollSpec, state: PollState, page: Page, now: int) -> bool:
    """Whether it is the same answer as in the last poll, and need not be read."""
    return state.digest == _digest(page) and is_fresh(spec, state, now)


def after_nothing(state: PollState, page: Page, now: int, *, alone: bool) -> PollState:
    """The state after an answer without items: nothing changed, or there is nothing."""
    ended = _ended(state, now)
    if alone:
        return ended if page.status == 304 else replace(ended, started=ended.started or page.is_empty)
    cursor = ended.candidate if ended.candidate is not None else ended.cursor
    return replace(ended, next=None, candidate=None, cursor=cursor, started=True)


def before_next(spec: PollSpec, state: PollState, link: str, now: int, *, last: bool) -> PollState:
    """The state once a page is stored that has a next one. `last`: this poll reads no further page."""
    kept = None if spec.reveals(link) else link  # a link with a secret is not stored in clear text
    state = replace(state, next=kept, etag=None, modified=None, digest=None)
    return _ended(state, now) if last else state


def after_last(spec: PollSpec, state: PollState, page: Page, now: int, *, alone: bool, goes_on: bool) -> PollState:
    """The state once the last page is stored. `alone`: it is the only page. `goes_on`: a request by its cursor may have
    more."""
    candidate = state.candidate
    is_moved = candidate not in (None, state.cursor)
    if is_moved and spec.by_cursor:
        alone = False  # the next request is another one
    return replace(
        _ended(state, now),
        next=None,
        candidate=None,
        cursor=candidate if candidate is not None else state.cursor,
        started=state.started or not (goes_on and is_moved),
        # If there are more pages, the answer to the first request says nothing about the others.
        etag=page.validator("ETag") if alone else None,
        modified=page.validator("Last-Modified") if alone else None,
        digest=_digest(page) if alone else None,
        refreshed_at=now,
    )


def after_failure(state: PollState, error: str, now: int, wait: float) -> PollState:
    """The state after a failed poll. The next one follows after `wait` seconds."""
    return replace(
        state,
        token=uuid7(now),
        polled_at=now,
        next_at=now + round(1000 * wait),
        failures=state.failures + 1,
        failing_since=state.failing_since or now,
        error=error,
    )


def candidate_of(spec: PollSpec, state: PollState, payload: object, page: Page, format_: Format) -> str | None:
    """The cursor of the pages so far. Raises PayloadError."""
    cursor, before = spec.cursor, state.candidate
    if cursor is None:
        return None
    values = cursor.value.values(payload, page.headers, format_)
    if not values or (cursor.pick == "first" and before is not None):
        return before
    if cursor.pick != "max":
        return as_cursor(values[0] if cursor.pick == "first" else values[-1])
    others = [other for other in (before, state.cursor) if other is not None]
    before_them = [value for other in others if (value := like(values[0], other)) is not None]
    return as_cursor(greatest([*values, *before_them]))


def _ended(state: PollState, now: int) -> PollState:
    return replace(state, polled_at=now, succeeded_at=now, failures=0, failing_since=0, error="", told=False)


def _digest(page: Page) -> str:
    return item_id([page.body.decode("latin-1")])
