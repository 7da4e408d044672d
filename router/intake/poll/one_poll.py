"""One poll: requests pages, and stores what is new together with the state, page by page."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from router.client.client import Client
from router.domain.errors import PayloadError, RenderError
from router.domain.ids import uuid7
from router.domain.polls import PolledEvent, PollResult, PollState
from router.intake.poll.fetch import Page, PollFailure, fetch, same_host
from router.intake.poll.next_page import next_url
from router.intake.poll.planned_items import pieces, planned
from router.intake.poll.spec import PollSpec
from router.intake.poll.state import after_last, after_nothing, before_next, candidate_of, is_fresh, is_same
from router.payload.body import Format
from router.plugins.poll import PolledItem
from router.rules.polled_events import polled_event
from router.rules.ruleset import Ruleset
from router.rules.source import Source

T = TypeVar("T")

IDS_AT_ONCE = 5000  #: ids of one transaction that has no events
NEXT_TRIES = 3  #: failed polls at the page to continue with, before the poll starts at the first page again


class Overtaken(Exception):
    """Another process polled the source meanwhile, or the rules no longer have it."""


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
            if page.unchanged or (alone and is_same(self.spec, self.state, page, self.now_ms())):
                await self._commit(after_nothing(self.state, page, self.now_ms(), alone=alone))
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
        if conditional and self.spec.method == "GET" and is_fresh(self.spec, state, now):
            conditions += [("If-None-Match", state.etag)] if state.etag else []
            conditions += [("If-Modified-Since", state.modified)] if state.modified else []
        try:
            return await fetch(self.client, self.spec, url, state.cursor, conditions, time.time())
        except PollFailure as failure:
            is_over = failure.retry_after is None and str(failure).startswith("HTTP 4")
            if state.next is not None and (is_over or state.failures + 1 >= NEXT_TRIES):
                self.state = replace(state, next=None, candidate=None)  # the next poll starts at the first page
            raise

    def _link_or_fault(self, page: Page, url: str, visited: set[str]) -> tuple[str | None, PollFailure | None]:
        """The next page, or why it can't be followed. The items of this page are stored in both cases."""
        try:
            return self._read(lambda: next_url(self.spec, page, lambda: self._payload(page), url, visited)), None
        except PollFailure as fault:
            return None, fault

    async def _take(self, page: Page, link: str | None, *, broken: bool, alone: bool, last: bool) -> None:
        """Store what is new on a page.

        Only its last transaction changes the cursor. On a page with a broken link no transaction changes it.
        """
        payload, format_ = self._payload(page)
        items = self._read(lambda: self.spec.reader.items_of(payload, format_, page.body, page.content_type))
        candidate = self._read(lambda: candidate_of(self.spec, self.state, payload, page, format_))
        ids = [item.id for item in items] if self.spec.has_items else []
        known = await self.store.known(self.state.series, ids) if ids else set()
        new = [item for item in items if item.id not in known]
        self._goes_on = self.spec.by_cursor and bool(new)
        after = self.state if broken else self._after(page, link, candidate, alone=alone, last=last)
        if not (self.state.started or self.spec.start == "all"):
            await self._commit(after, await self._seen(ids), whole=after.started)
            return
        parts = pieces(new) or [[]]
        for number, part in enumerate(parts):
            events, is_end = self._planned(part) if part else [], number == len(parts) - 1
            state = replace(after if is_end else self.state, events=self.state.events + len(events))
            seen = [item.id for item in part] if ids else []
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
        state, now = replace(self.state, candidate=candidate), self.now_ms()
        if link is not None:
            return before_next(self.spec, state, link, now, last=last)
        return after_last(self.spec, state, page, now, alone=alone, goes_on=self._goes_on)

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
