"""Unusual answers of ordinary services: without content, with odd headers, changing cursors or circular links."""

from collections.abc import Callable

import pytest

from router.operate.poll_source import PollError
from tests.intake.poll.conftest import Source
from tests.polled_service import Reply, Service

Make = Callable[..., Source]

NEXT = "items: '$.list[*]', next: $.next"
XML = {"Content-Type": "application/xml"}


@pytest.mark.parametrize("status", [204, 205])
def test_a_first_answer_without_content_counts_as_an_empty_list(service: Service, source: Make, status: int) -> None:
    polled = source("items: '$[*]'")
    service.answer = lambda _: Reply(b"", status)
    assert polled.payloads() == []
    service.answer = lambda _: Reply([1])

    assert polled.payloads() == [1]


@pytest.mark.parametrize("status", [204, 304])
def test_a_next_page_without_content_is_the_last_one(service: Service, source: Make, status: int) -> None:
    polled = source(f"{NEXT}, start: all, cursor: {{from: $.c, query: since}}")
    service.answer = lambda asked: (
        Reply(b"", status) if "p2" in asked.path else Reply({"list": [1], "next": "/p2", "c": "x"})
    )

    assert polled.payloads() == [1]
    assert (polled.state.next, polled.state.cursor, polled.state.started) == (None, "x", True)
    polled.poll()
    assert service.asked[2].path == "/jobs?since=x"


def test_a_first_poll_by_cursor_may_end_without_content(service: Service, source: Make) -> None:
    polled = source("items: '$.list[*]', cursor: {from: $.c, query: c}")
    service.answer = lambda asked: Reply(b"", 204) if "c=" in asked.path else Reply({"list": [1], "c": "x"})
    assert polled.payloads() == []
    service.answer = lambda _: Reply({"list": [2], "c": "x"})

    assert polled.payloads() == [2]


def test_validators_that_can_not_be_sent_back_are_left_out(service: Service, source: Make) -> None:
    polled = source("items: '$[*]', start: all")
    service.answer = lambda _: Reply([1], headers={"ETag": '"\xff\xe9"', "Last-Modified": "\xff"})

    assert polled.payloads() == [1]
    assert polled.payloads() == []
    assert "if-none-match" not in service.asked[1].headers


def test_a_content_type_of_odd_bytes_is_read(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply([1], headers={"Content-Type": 'application/json; x="\xff"'})

    assert source("start: all").payloads() == [[1]]


def test_a_cursor_may_change_from_a_text_to_a_number(service: Service, source: Make) -> None:
    polled = source("items: '$[*].a', start: all, cursor: {from: '$[*].n', query: n, pick: max}")
    service.body = [{"a": 1, "n": "2026-11-28"}]
    polled.poll()
    service.body = [{"a": 2, "n": 5}]

    assert polled.payloads() == [2]
    assert polled.state.cursor == "5"


def test_a_cursor_from_another_field_is_not_sent(service: Service, source: Make) -> None:
    items = "items: '$.list[*]', start: all"
    service.answer = lambda _: Reply({"list": [{"t": "2026"}], "c": "opaque"})
    source(f"{items}, cursor: {{from: $.c, query: since}}").poll()
    source(items).poll()
    before = len(service.asked)

    polled = source(f"{items}, cursor: {{from: '$.list[*].t', query: since}}")
    polled.poll()

    assert service.asked[before].path == "/jobs"
    assert polled.state.cursor == "2026"


def test_a_cursor_that_is_added_leaves_what_was_seen(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply({"list": [1], "c": "x"})
    source("items: '$.list[*]', start: all").poll()

    assert source("items: '$.list[*]', start: all, cursor: {from: $.c, query: c}").payloads() == []


def test_the_items_of_a_page_with_a_circular_link_are_stored(service: Service, source: Make) -> None:
    polled = source(f"{NEXT}, start: all, cursor: {{from: $.c, query: c}}")
    service.answer = lambda asked: Reply({"list": [2 if "p=2" in asked.path else 1], "next": "/jobs?p=2", "c": "x"})

    for _ in range(2):
        with pytest.raises(PollError, match="back to a page"):
            polled.poll()

    assert sorted(event.body for event in polled.store.events()) == [b"1", b"2"]
    assert polled.state.cursor is None


def test_false_means_that_there_is_no_next_page_or_cursor(service: Service, source: Make) -> None:
    polled = source(f"{NEXT}, start: all, cursor: {{from: $.c, query: c}}")
    service.body = {"list": [1], "next": False, "c": False}

    assert polled.payloads() == [1]
    assert polled.state.cursor is None


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b"<r><g><e><t>1</t></e></g></r>", ["1"]),
        (b"<r><g><e><t>1</t></e><e><t>2</t></e></g><g><e><t>3</t></e></g></r>", ["1", "2", "3"]),
        (b"<r/>", []),
    ],
)
def test_one_element_of_xml_is_a_list_of_one_at_each_level(
    service: Service, source: Make, body: bytes, ids: list[str]
) -> None:
    polled = source("items: '$.r.g[*].e[*]', start: all, cursor: {from: '$.r.g[*].e[*].t', query: c}, max_pages: 1")
    service.answer = lambda _: Reply(body, headers=XML)

    assert polled.payloads() == [{"t": one} for one in ids]
    assert polled.state.cursor == (ids[-1] if ids else None)
