"""A search reads a limited number of events, whatever their content."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.events import Event
from router.domain.filters import EventFilter, Filter
from router.domain.ids import uuid7
from router.intake.dedupe_key import hashed_key, stored_key
from router.operate import event_pages
from router.operate.event_pages import events_back, events_in_order
from router.operate.queries import keys_of
from router.operate.scan import ScanPosition
from router.operate.search import Bounds, EventTest, find_deliveries, find_events, headers_test
from router.rules.compile.where import WhereError, compile_where
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

NOW = 1_700_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Ten events. The payload of event n is {"n": n}; that of event 5 is invalid JSON."""
    with closing(open_store(tmp_path / "store.db")) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(60)
        for n in range(10):
            body = b"{broken" if n == 5 else b'{"n": %d}' % n
            headers = (("Content-Type", "application/json"), ("X-N", str(n % 2)))
            event = Event(uuid7(NOW + n), "hub", "POST", "/", "", headers, body, "192.0.2.1", NOW + n)
            plan = [PlannedDelivery(uuid7(NOW + n), "r", "a", "append", "t")]
            store.append(event, plan, "r1", matched=["r"]).result(60)
        yield store


def where(*texts: str) -> EventTest:
    """A condition on the payload."""
    return EventTest((), compile_where(texts, "where"))


def test_a_search_gives_matching_events_newest_first(store: SqliteStore) -> None:
    found = find_events(store, EventFilter(), where("$.n: {gte: 3}"), 3, Bounds(100))

    assert [head.received_at - NOW for head in found.items] == [9, 8, 7]
    assert (found.scanned, found.scanned_to) == (3, None)
    rest = find_events(store, EventFilter(), where("$.n: {gte: 3}"), 100, Bounds(100), found.items[-1].seq)
    assert [head.received_at - NOW for head in rest.items] == [6, 4, 3]
    assert (rest.scanned, rest.scanned_to) == (7, None)


def test_a_search_stops_at_its_limit_and_says_where(store: SqliteStore) -> None:
    found = find_events(store, EventFilter(), where("$.n: 0"), 10, Bounds(4))

    assert (found.items, found.scanned) == ([], 4)
    assert found.scanned_to is not None
    assert found.scanned_to.received_at == NOW + 6
    over = find_events(store, EventFilter(), where("$.n: 0"), 10, Bounds(100, lambda: True))
    assert over.scanned == 1


def test_headers_and_conditions_must_all_hold(store: SqliteStore) -> None:
    test = EventTest(headers_test([("x-n", "1")]), compile_where(["$.n: {lt: 5}", "any: [$.n: 1, $.n: 2]"], "where"))

    assert [head.received_at - NOW for head in find_events(store, EventFilter(), test, 10, Bounds(100)).items] == [1]


def test_deliveries_are_searched_by_their_event(store: SqliteStore) -> None:
    found = find_deliveries(store, Filter(rule="r"), where("$.n: {lt: 2}"), 10, Bounds(100))

    assert [delivery.created_at - NOW for delivery in found.items] == [1, 0]
    stopped = find_deliveries(store, Filter(), where("$.n: 0"), 10, Bounds(4))
    assert (stopped.items, stopped.scanned, stopped.scanned_to is not None) == ([], 4, True)


@pytest.mark.parametrize("size", [1, 20, 10_000])
def test_events_are_read_in_portions_each_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(event_pages, "READ_BYTES", size)
    monkeypatch.setattr(event_pages, "PAGE", 4)

    forth = [one.event.received_at - NOW for one in events_in_order(store, EventFilter(), ScanPosition())]
    back = [one.event.received_at - NOW for _, one in events_back(store, EventFilter(), 0)]

    assert (forth, back) == ([*range(10)], [*reversed(range(10))])
    assert [one.seq for one in events_in_order(store, EventFilter(), ScanPosition(3, 6))] == [4, 5, 6]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$.a: {equal: 1}", 'where:1:7: unknown operator "equal"'),
        ("$.a[: 1", "where:1:1: "),
        ("[1]", "where:1:1: expected a mapping"),
        ("$.a: 'b", "where:1:"),
        ("item: 1", "where:1:1: "),
        ("x" * 70_000, "where:1:1: the condition is longer than"),
    ],
)
def test_the_error_for_a_wrong_condition_names_its_place(text: str, said: str) -> None:
    with pytest.raises(WhereError) as raised:
        compile_where([text], "where")

    assert str(raised.value).startswith(said)


def test_an_id_of_a_provider_is_a_text_or_a_number() -> None:
    assert keys_of("72d3") == ('"72d3"', hashed_key('"72d3"'))
    assert keys_of("12") == ('"12"', "12", hashed_key('"12"'), hashed_key("12"))  # also if it is redacted
    assert keys_of("a" * 300) == (stored_key("a" * 300),)
    assert keys_of("1.50")[:2] == ('"1.50"', "1.5")
    assert keys_of("x" * 300)[0].startswith("sha256:")
