"""Hides payloads from the read-only token: a view of a store without the payloads of sources with `show_payloads:
false`.

Code that shows payloads reads this view, and can't show what the view lacks.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from router.domain.deliveries import Attempt, Delivery
from router.domain.events import Event, StoredEvent
from router.domain.filters import EventFilter, Filter
from router.domain.outcomes import Sent
from router.domain.summaries import EventHead
from router.store.contract import PAGE, OperatorStore
from router.store.search_back import FoundBack

HIDDEN = "[hidden]"  #: the text in place of a payload's text

PathShown = Callable[[str], str | None]
"""The path to show for a source's events if its payloads are hidden; None: they are not."""

SHOWN_AS_IT_IS = frozenset(
    [
        *("location", "size", "owner", "is_replaced", "nodes", "changes", "alive", "writable"),
        *("routing", "count", "ruleset", "ids_from", "recent_names", "event_sources", "waiting", "depths"),
        *("holds", "notes", "newest", "position_at", "arrivals", "activity", "recent_matches", "polls"),
    ]
)
"""What a store tells without payloads. Any other attribute that is not defined below is refused."""


def hiding(store: OperatorStore, path_shown: PathShown) -> OperatorStore:
    """The store without the payloads of hidden sources. It only reads."""
    return cast("OperatorStore", _HidingStore(store, path_shown))


class _HidingStore:
    """See StoreReader for the methods. Any thread may read."""

    def __init__(self, store: OperatorStore, path_shown: PathShown) -> None:
        self._store = store
        self._path_shown = path_shown

    def __getattr__(self, name: str) -> Any:
        if name not in SHOWN_AS_IT_IS:
            raise AttributeError(f"{name} is not available to the read-only token")
        return getattr(self._store, name)

    def event(self, event_id: str) -> Event | None:
        found = self._store.event(event_id)
        return None if found is None else self._shown(found)

    def events(self, *, limit: int = 100, before: str | None = None) -> list[Event]:
        return [self._shown(event) for event in self._store.events(limit=limit, before=before)]

    def event_heads(
        self,
        which: EventFilter = EventFilter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[EventHead]:
        if not which.dedupe_keys:
            heads = self._store.event_heads(which, limit=limit, after=after, newest_first=newest_first, above=above)
        else:  # such a key holds a value of the payload; few events share one
            many = self._store.event_heads(
                which, limit=max(limit, PAGE), after=after, newest_first=newest_first, above=above
            )
            heads = [head for head in many if self._path_shown(head.source) is None][:limit]
        return [replace(head, path=self._path_shown(head.source) or head.path) for head in heads]

    def stored_events(
        self,
        which: EventFilter = EventFilter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[StoredEvent]:
        found = self._store.stored_events(which, limit=limit, after=after, newest_first=newest_first, above=above)
        return [replace(one, event=self._shown(one.event)) for one in found]

    def count_events(self, which: EventFilter, most: int | None = None) -> int:
        return len(self.event_heads(which, limit=PAGE)) if which.dedupe_keys else self._store.count_events(which, most)

    def delivery(self, delivery_id: str) -> Delivery | None:
        found = self._store.delivery(delivery_id)
        return None if found is None else self._shown_deliveries([found])[0]

    def deliveries(
        self,
        which: Filter = Filter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[Delivery]:
        found = self._store.deliveries(which, limit=limit, after=after, newest_first=newest_first, above=above)
        return self._shown_deliveries(found)

    def search_events(self, which: EventFilter, limit: int, after: int = 0) -> FoundBack[EventHead]:
        if which.dedupe_keys:  # such a key is a value of the payload
            raise AttributeError("a search by dedupe key is not available to the read-only token")
        found = self._store.search_events(which, limit, after)
        return replace(
            found, rows=[replace(head, path=self._path_shown(head.source) or head.path) for head in found.rows]
        )

    def search_deliveries(self, which: Filter, limit: int, after: int = 0) -> FoundBack[Delivery]:
        found = self._store.search_deliveries(which, limit, after)
        return replace(found, rows=self._shown_deliveries(list(found.rows)))

    def attempts(self, delivery_id: str) -> list[Attempt]:
        found = self._store.attempts(delivery_id)
        delivery = self._store.delivery(delivery_id) if found else None
        is_shown = delivery is not None and not self._is_hidden(delivery.event_id)
        return found if is_shown else [hidden_attempt(attempt) for attempt in found]

    def _shown(self, event: Event) -> Event:
        path = self._path_shown(event.source)
        return event if path is None else hidden_event(event, path)

    def _shown_deliveries(self, deliveries: list[Delivery]) -> list[Delivery]:
        hidden: dict[str, bool] = {}
        for one in deliveries:
            if one.event_id not in hidden and hidden_delivery(one) != one:
                hidden[one.event_id] = self._is_hidden(one.event_id)
        return [hidden_delivery(one) if hidden.get(one.event_id) else one for one in deliveries]

    def _is_hidden(self, event_id: str) -> bool:
        event = self._store.event(event_id)
        return event is None or self._path_shown(event.source) is not None


def hidden_event(event: Event, path: str) -> Event:
    """The event without everything that its sender sent, except the names of headers."""
    return replace(
        event,
        path=path,
        query=HIDDEN if event.query else "",
        headers=tuple((name, HIDDEN) for name, _ in event.headers),
        body=HIDDEN.encode(),
        dedupe_key=_masked(event.dedupe_key),
        hidden_size=len(event.body),
    )


def hidden_delivery(delivery: Delivery) -> Delivery:
    """The delivery without values of the payload."""
    return replace(
        delivery,
        order_key=_masked(delivery.order_key),
        latest_key=_masked(delivery.latest_key),
        once_key=_masked(delivery.once_key),
        item=_masked(delivery.item),
    )


def hidden_attempt(attempt: Attempt) -> Attempt:
    """The attempt without its request and answer."""
    return replace(
        attempt,
        excerpt=HIDDEN if attempt.excerpt else "",
        sent=None if attempt.sent is None else _hidden_sent(attempt.sent),
    )


def _hidden_sent(sent: Sent) -> Sent:
    headers = tuple((name, HIDDEN) for name, _ in sent.headers)
    return replace(sent, url=HIDDEN, headers=headers, sha256=HIDDEN, start=HIDDEN if sent.start else sent.start)


def _masked(text: str | None) -> str | None:
    return None if text is None else HIDDEN
