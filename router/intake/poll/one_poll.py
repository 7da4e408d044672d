"""One poll: requests pages, and stores what is new together with the state, page by page."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from router.client.client import Client
from router.domain.errors import PayloadError, RenderError
from router.domain.events import Event, Routing
from router.domain.ids import uuid7
from router.domain.polls import REFRESH_MS, PolledEvent, PollResult, PollState, item_id
from router.intake.dedupe_key import dedupe_key_of
from router.intake.poll.fetch import Page, PollFailure, fetch, resolved, same_host
from router.intake.poll.link_header import next_link
from router.intake.poll.spec import PollSpec
from router.intake.poll.values import as_cursor, greatest, like
from router.payload.body import Format
from router.plugins.poll import PolledItem
from router.rules.parsing import as_stored
from router.rules.polled_events import arriving_item, polled_event
from router.rules.ruleset import Ruleset
from router.rules.source import Source

T = TypeVar("T")

AT_ONCE = 500  #: items of one transaction; other commits wait for it
IDS_AT_ONCE = 5000  #: ids of one transaction that has no events
NEXT_TRIES = 3  #: failed polls at the page to continue with, before the poll starts at the first page again
AT_ONCE_BYTES = 8 * 1024 * 1024  #: of their bodies, for the same reason as AT_ONCE


class Overtaken(Exception):
    """Another process polled the source meanwhile, or the rules no longer have it."""


class PollStore(Protocol):
    """The part of a store that a poll needs."""

    def known_items(self, series: str, ids: Sequence[str]) -> set[str]:
        """See StoreReader.known_items."""
        ...

    def take_poll(self, result: PollResult) -> "Future[bool]":
        """See OperatorStore.take_poll."""
        ...


@dataclass(frozen=True, slots=True)
class Polled:
    """The result of a poll."""

    state: PollState
    changed: bool  #: at least one answer differed from the last one
    left: bool = False  #: more pages are left than one poll reads


class Taking(Protocol):
    """How a poll reads and writes its store."""

    async def known(self, series: str, ids: Sequence[str]) -> set[str]:
        """See StoreReader.known_items."""
        ...

    async def take(self, result: PollResult) -> bool:
        """See OperatorStore.take_poll."""
        ...


@dataclass(slots=True)
class OnePoll:
    """One poll of one source. It belongs to a loop, and `run` is called once."""

    client: Client
    source: Source
    spec: PollSpec
    ruleset: Callable[[], Ruleset | None]  #: the current rules; None when they no longer have the source
    store: Taking
    now_ms: Callable[[], int]
    state: PollState
    token: str  #: the token of the stored state; empty when there is none
    taken: Callable[[Sequence[PolledEvent]], None]  #: called with events once they are stored
    _goes_on: bool = False  #: the page had new items, so the next request by its cursor may have more

    async def run(self) -> Polled:
        """Poll. Raises PollFailure, Overtaken, StoreError."""
        first = self._first_url()
        url, visited, changed = self.state.next or first, set[str](), False
        resumed = self.state.next is not None
        if not same_host(first, url):
            url, resumed = first, False
        for number in range(1, self.spec.max_pages + 1):
            visited.add(url)
            page = await self._ask(url, conditional=number == 1 and not resumed)
            alone = number == 1 and not resumed
            if page.unchanged or (alone and self._is_same(page)):
                await self._commit(self._nothing(page, alone=alone))
                break
            changed, before = True, self.state.cursor
            link, fault = self._link_or_fault(page, url, visited)
            await self._take(page, link, broken=fault is not None, alone=alone, last=number == self.spec.max_pages)
            if fault is not None:
                raise fault
            if link is None and not (self._goes_on and self.state.cursor != before):
                break
            url = link or self._first_url()
        else:
            return Polled(self.state, changed, left=True)
        return Polled(self.state, changed)

    def _first_url(self) -> str:
        try:
            return self.spec.with_cursor(self.spec.first_url(), self.state.cursor)
        except RenderError as error:
            raise PollFailure(str(error)) from None

    async def _ask(self, url: str, *, conditional: bool) -> Page:
        state, now = self.state, self.now_ms()
        conditions: list[tuple[str, str]] = []
        is_fresh = not self.spec.has_items or 0 <= now - state.refreshed_at < REFRESH_MS
        if conditional and self.spec.method == "GET" and is_fresh:
            conditions += [("If-None-Match", state.etag)] if state.etag else []
            conditions += [("If-Modified-Since", state.modified)] if state.modified else []
        try:
            return await fetch(self.client, self.spec, url, state.cursor, conditions, time.time())
        except PollFailure as failure:
            is_over = failure.retry_after is None and str(failure).startswith("HTTP 4")
            if state.next is not None and (is_over or state.failures + 1 >= NEXT_TRIES):
                self.state = replace(state, next=None, candidate=None)  # the next poll starts at the first page
            raise

    def _is_same(self, page: Page) -> bool:
        """Whether it is the same answer as in the last poll. Now and then it is read all the same, so that the ids of
        its items stay remembered."""
        if self.state.digest != _digest(page):
            return False
        return not self.spec.has_items or 0 <= self.now_ms() - self.state.refreshed_at < REFRESH_MS

    def _nothing(self, page: Page, *, alone: bool) -> PollState:
        """The state after an answer without items: nothing changed, or there is nothing."""
        state = self._ended(self.state)
        if alone:
            return state if page.status == 304 else replace(state, started=state.started or page.is_empty)
        cursor = state.candidate if state.candidate is not None else state.cursor
        return replace(state, next=None, candidate=None, cursor=cursor, started=True)

    def _link_or_fault(self, page: Page, url: str, visited: set[str]) -> tuple[str | None, PollFailure | None]:
        """The next page, or why it can't be followed. The items of this page are stored in both cases."""
        try:
            return self._link(page, url, visited), None
        except PollFailure as fault:
            return None, fault

    def _link(self, page: Page, url: str, visited: set[str]) -> str | None:
        """The next page."""
        if not self.spec.has_pages:
            return None
        if self.spec.by_link:
            reference = next_link(", ".join(_all(page.headers, "Link")))
        else:
            assert self.spec.next is not None
            payload, format_ = self._payload(page) if self.spec.next.path is not None else (None, Format.TEXT)
            values = self._read(lambda: self.spec.next.values(payload, page.headers, format_))  # type: ignore[union-attr]
            reference = as_cursor(values[0]) if values else None
        if reference is None:
            return None
        link = resolved(page.url, reference)
        if link is None:
            raise PollFailure("the next page's link is not an http(s) URL")
        if not same_host(link, url):
            raise PollFailure("the next page's link leads to another host; it is not followed")
        if link in visited:
            raise PollFailure("the next page's link leads back to a page of this poll")
        return link

    async def _take(self, page: Page, link: str | None, *, broken: bool, alone: bool, last: bool) -> None:
        """Store what is new on a page.

        Only its last transaction changes the cursor. On a page with a broken link no transaction changes it.
        """
        payload, format_ = self._payload(page)
        items = self._read(lambda: self.spec.reader.items_of(payload, format_, page.body, page.content_type))
        candidate = self._read(lambda: self._candidate(payload, page, format_))
        ids = [item.id for item in items] if self.spec.has_items else []
        known = await self.store.known(self.state.series, ids) if ids else set()
        new = [item for item in items if item.id not in known]
        self._goes_on = self.spec.by_cursor and bool(new)
        after = self.state if broken else self._after(page, link, candidate, alone=alone, last=last)
        if not (self.state.started or self.spec.start == "all"):
            await self._commit(after, await self._seen(ids), whole=after.started)
            return
        pieces = list(_pieces(new)) or [[]]
        for number, piece in enumerate(pieces):
            events, is_end = self._planned(piece) if piece else [], number == len(pieces) - 1
            state = replace(after if is_end else self.state, events=self.state.events + len(events))
            seen = [item.id for item in piece] if ids else []
            if is_end:
                seen += await self._seen(sorted(known))
            await self._commit(state, seen, events, whole=is_end and link is None and not broken)

    async def _seen(self, ids: Sequence[str]) -> Sequence[str]:
        """Store that these ids were seen, except the last ones: they are stored with the page's state."""
        while len(ids) > IDS_AT_ONCE:
            await self._commit(self.state, ids[:IDS_AT_ONCE])
            ids = ids[IDS_AT_ONCE:]
        return ids

    def _after(self, page: Page, link: str | None, candidate: str | None, *, alone: bool, last: bool) -> PollState:
        """The state once the whole page is stored."""
        state = replace(self.state, candidate=candidate)
        if link is not None:
            kept = None if self.spec.reveals(link) else link  # a link with a secret is not stored in clear text
            state = replace(state, next=kept, etag=None, modified=None, digest=None)
            return self._ended(state) if last else state
        is_moved = candidate not in (None, state.cursor)
        if is_moved and self.spec.by_cursor:
            alone = False  # the next request is another one
        return replace(
            self._ended(state),
            next=None,
            candidate=None,
            cursor=candidate if candidate is not None else state.cursor,
            started=state.started or not (self._goes_on and is_moved),
            # If there are more pages, the answer to the first request says nothing about the others.
            etag=page.validator("ETag") if alone else None,
            modified=page.validator("Last-Modified") if alone else None,
            digest=_digest(page) if alone else None,
            refreshed_at=self.now_ms(),
        )

    def _ended(self, state: PollState) -> PollState:
        now = self.now_ms()
        return replace(state, polled_at=now, succeeded_at=now, failures=0, failing_since=0, error="", told=False)

    def _candidate(self, payload: object, page: Page, format_: Format) -> str | None:
        """The cursor of the pages so far."""
        cursor, before = self.spec.cursor, self.state.candidate
        if cursor is None:
            return None
        values = cursor.value.values(payload, page.headers, format_)
        if not values or (cursor.pick == "first" and before is not None):
            return before
        if cursor.pick != "max":
            return as_cursor(values[0] if cursor.pick == "first" else values[-1])
        others = [other for other in (before, self.state.cursor) if other is not None]
        before_them = [value for other in others if (value := like(values[0], other)) is not None]
        return as_cursor(greatest([*values, *before_them]))

    def _payload(self, page: Page) -> tuple[object, Format]:
        if not page.body.strip():
            return None, Format.JSON
        return self._read(lambda: self.spec.reader.payload(page.body, page.content_type))

    @staticmethod
    def _read(read: Callable[[], T]) -> T:
        try:
            return read()
        except PayloadError as error:
            raise PollFailure(str(error)) from None

    def _planned(self, items: Sequence[PolledItem]) -> list[PolledEvent]:
        ruleset = self.ruleset()
        if ruleset is None:
            raise Overtaken
        now = self.now_ms()
        return self._read(
            lambda: [planned(ruleset, self.source, polled_event(self.source, item, now), item) for item in items]
        )

    async def _commit(
        self,
        state: PollState,
        seen: Sequence[str] = (),
        events: Sequence[PolledEvent] = (),
        *,
        whole: bool = False,
    ) -> None:
        if self.ruleset() is None:
            raise Overtaken
        now = self.now_ms()
        state = replace(state, token=uuid7(now), cursor_of=self.spec.cursor_of or state.cursor_of)
        if not await self.store.take(PollResult(self.token, state, seen, events, whole, now)):
            raise Overtaken
        self.state, self.token = state, state.token
        if events:
            self.taken(events)


def planned(ruleset: Ruleset, source: Source, event: Event, item: PolledItem) -> PolledEvent:
    """What the rules plan for an event. Raises PayloadError when it can't be read, or can't be redacted as its source
    demands."""
    arriving = arriving_item(source, item, event)
    parsed = as_stored(arriving, source)
    plan, window = ruleset.plan(parsed), 0
    event = parsed.event
    if (key := dedupe_key_of(arriving.sent, parsed, source)) is not None and source.dedupe is not None:
        event, window = replace(event, dedupe_key=key), round(source.dedupe.window * 1000)
    return PolledEvent(event, plan.deliveries, Routing(ruleset.hash, plan.matched, plan.errors), window)


def new_state(source: str, spec: PollSpec, before: PollState | None, now: int) -> PollState:
    """The state to poll with: the stored state, unless the source starts anew."""
    if before is not None and before.fingerprint == spec.fingerprint and not _has_other_cursor(before, spec):
        return before
    return PollState(source, uuid7(now), "", spec.fingerprint)


def _has_other_cursor(before: PollState, spec: PollSpec) -> bool:
    """Whether the stored cursor is of another kind than the rules now ask for. The service would refuse or misread
    it."""
    return before.cursor is not None and spec.cursor is not None and before.cursor_of not in ("", spec.cursor_of)


def _digest(page: Page) -> str:
    return item_id([page.body.decode("latin-1")])


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    getall = getattr(headers, "getall", None)
    return list(getall(name, ())) if getall is not None else [headers[name]] if name in headers else []


def _pieces(items: Sequence[PolledItem]) -> "list[list[PolledItem]]":
    found: list[list[PolledItem]] = []
    size = 0
    for item in items:
        if not found or len(found[-1]) >= AT_ONCE or size + len(item.body) > AT_ONCE_BYTES:
            found.append([])
            size = 0
        found[-1].append(item)
        size += len(item.body)
    return found
