"""The request of one poll, and the events that its answers give."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from router.domain.polls import KEPT_IDS_MS
from router.intake.poll import one_poll
from router.intake.poll.planned_items import AT_ONCE
from router.operate.poll_source import PollError
from tests.intake.poll.conftest import Source
from tests.polled_service import Asked, Reply, Service

Make = Callable[..., Source]

JOBS = "items: '$.jobs[*]', id: [item.id, item.status], start: all"


def jobs(*pairs: tuple[int, str]) -> dict[str, object]:
    """An answer that lists these jobs."""
    return {"jobs": [{"id": number, "status": status} for number, status in pairs]}


def test_each_item_is_an_event_once(service: Service, source: Make) -> None:
    service.body = jobs((1, "queued"), (2, "queued"))
    polled = source(JOBS)

    assert polled.payloads() == service.body["jobs"]
    assert polled.payloads() == []
    service.body = jobs((2, "queued"), (3, "queued"))
    assert polled.payloads() == [{"id": 3, "status": "queued"}]
    assert polled.state.events == 3


def test_an_item_whose_id_fields_change_is_a_new_event(service: Service, source: Make) -> None:
    polled = source(JOBS)
    service.body = jobs((1, "queued"))
    polled.poll()
    service.body = jobs((1, "completed"))

    assert polled.payloads() == [{"id": 1, "status": "completed"}]


def test_the_first_poll_only_remembers_existing_items(service: Service, source: Make) -> None:
    service.body = [{"id": 1}]
    polled = source("items: '$[*]', id: item.id")

    assert polled.payloads() == []
    service.body = [{"id": 1}, {"id": 2}]
    assert polled.payloads() == [{"id": 2}]


def test_an_item_without_an_id_is_identified_by_its_whole_content(service: Service, source: Make) -> None:
    service.body = [{"a": 1}, {"a": 2, "id": None}, {"a": 1}]
    polled = source("items: '$[*]', id: item.id, start: all")

    assert polled.payloads() == [{"a": 1}, {"a": 2, "id": None}]
    service.body = [{"a": 1}, {"a": 3}]
    assert polled.payloads() == [{"a": 3}]


def test_ids_of_different_types_differ(service: Service, source: Make) -> None:
    service.body = [
        {"id": 1},
        {"id": "1"},
        {"id": True},
        {"id": [1]},
        {"id": {"a": 1, "b": 2}},
        {"id": {"b": 2, "a": 1}},
    ]

    assert len(source("items: '$[*]', id: item.id, start: all").payloads()) == 5


@pytest.mark.parametrize("item", ["text", 7, 1.5, None, True, [1, [2]], {"a": {"b": "é"}}])
def test_an_item_may_be_any_json_value(service: Service, source: Make, item: object) -> None:
    service.body = [item]

    assert source("items: '$[*]', start: all").payloads() == [item]


def test_without_items_a_changed_answer_is_one_event(service: Service, source: Make) -> None:
    service.body = {"price": 1}
    polled = source("start: all")

    assert polled.payloads() == [{"price": 1}]
    assert polled.payloads() == []
    polled.now += 8 * 86_400_000
    assert polled.payloads() == []
    service.body = {"price": 2}
    assert polled.payloads() == [{"price": 2}]


def test_polls_send_conditional_requests(service: Service, source: Make) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.headers.get("if-none-match") == '"v1"' and "if-modified-since" in asked.headers:
            return Reply(status=304)
        return Reply([1], headers={"ETag": '"v1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"})

    service.answer = answer
    polled = source("items: '$[*]', start: all")

    assert polled.payloads() == [1]
    report = polled.poll()
    assert not report.changed
    assert service.asked[1].headers["if-modified-since"] == "Wed, 21 Oct 2015 07:28:00 GMT"


def test_an_unchanged_answer_is_read_again_before_its_ids_are_forgotten(service: Service, source: Make) -> None:
    service.answer = lambda asked: (
        Reply(status=304) if "if-none-match" in asked.headers else Reply([{"id": 1}], headers={"ETag": '"v1"'})
    )
    polled = source("items: '$[*]', id: item.id, start: all")
    polled.poll()
    for _ in range(5):
        polled.now += KEPT_IDS_MS // 3
        polled.poll()
    service.answer = lambda _: Reply([{"id": 1}, {"id": 2}])

    assert polled.payloads() == [{"id": 2}]


def test_an_id_is_new_again_after_a_week_of_absence(service: Service, source: Make) -> None:
    service.body = [{"id": 1}]
    polled = source("items: '$[*]', id: item.id, start: all")
    polled.poll()
    service.body = []
    polled.now += KEPT_IDS_MS + 60_000
    polled.poll()
    service.body = [{"id": 1}]
    polled.now += 60_000

    assert polled.payloads() == [{"id": 1}]


@pytest.mark.parametrize("changed", ["items: '$.list[*]', start: all", "items: '$[*]', id: item.a, start: all"])
def test_a_source_with_changed_items_or_id_starts_again(service: Service, source: Make, changed: str) -> None:
    service.body = [{"id": 1}]
    source("items: '$[*]', id: item.id, start: all").poll()
    service.body = {"list": [{"id": 1}]} if "list" in changed else [{"id": 1}]

    assert source(changed).payloads() == [{"id": 1}]


def test_a_source_starts_again_with_a_changed_url_but_not_with_a_changed_interval(
    service: Service, source: Make
) -> None:
    service.body = [{"id": 1}]
    source("items: '$[*]', start: all").poll()

    assert source("items: '$[*]', start: all, every: 5m, headers: {A: b}").payloads() == []
    assert source("items: '$[*]', start: all", url=service.url + "/other").payloads() == [{"id": 1}]


def test_the_cursor_of_an_answer_goes_into_the_next_query(service: Service, source: Make) -> None:
    def answer(asked: Asked) -> Reply:
        since = int(parse_qs(urlsplit(asked.path).query).get("since", ["0"])[0])
        return Reply({"last": min(since + 2, 5), "list": [{"n": n} for n in range(since + 1, min(since + 2, 5) + 1)]})

    service.answer = answer
    polled = source("items: '$.list[*]', cursor: {from: $.last, query: since}, start: all", url=service.url + "/j?a=1")

    assert polled.payloads() == [{"n": n} for n in (1, 2, 3, 4, 5)]
    assert [asked.path for asked in service.asked] == ["/j?a=1", "/j?a=1&since=2", "/j?a=1&since=4", "/j?a=1&since=5"]
    assert polled.state.cursor == "5"


def test_a_first_poll_by_cursor_remembers_all_of_its_pages(service: Service, source: Make) -> None:
    total = 5

    def answer(asked: Asked) -> Reply:
        since = int(parse_qs(urlsplit(asked.path).query).get("since", ["0"])[0])
        return Reply({"last": min(since + 2, total), "list": list(range(since + 1, min(since + 2, total) + 1))})

    service.answer = answer
    polled = source("items: '$.list[*]', cursor: {from: $.last, query: since}")

    assert polled.payloads() == []
    total = 6
    assert polled.payloads() == [6]


def test_a_cursor_can_be_read_from_a_header_and_sent_in_a_header(service: Service, source: Make) -> None:
    service.answer = lambda asked: Reply([asked.headers.get("x-since", "-")], headers={"X-Next": "a b"})
    polled = source("items: '$[*]', cursor: {from: headers.X-Next, header: X-Since}, start: all, max_pages: 1")

    assert [polled.payloads(), polled.payloads()] == [["-"], ["a b"]]


@pytest.mark.parametrize(("pick", "kept"), [("first", "3"), ("last", "1"), ("max", "10")])
def test_the_chosen_one_of_several_values_becomes_the_cursor(
    service: Service, source: Make, pick: str, kept: str
) -> None:
    service.body = [{"n": 3}, {"n": 10}, {"n": 1}]
    polled = source(f"items: '$[*]', cursor: {{from: '$[*].n', query: since, pick: {pick}}}, max_pages: 1")

    polled.poll()

    assert polled.state.cursor == kept


def pages(service: Service, count: int, form: str = "path") -> None:
    """Let the service answer with `count` pages, the newest items first."""

    def answer(asked: Asked) -> Reply:
        number = int(parse_qs(urlsplit(asked.path).query).get("page", ["1"])[0])
        link = f"/jobs?page={number + 1}" if number < count else None
        headers = {"Link": f'<{link}>; rel="next", </jobs>; rel=first'} if link and form == "header" else {}
        return Reply({"list": [number], "next": link if form == "path" else None}, headers=headers)

    service.answer = answer


@pytest.mark.parametrize(("form", "written"), [("path", "$.next"), ("header", "link")])
def test_next_pages_are_followed(service: Service, source: Make, form: str, written: str) -> None:
    pages(service, 4, form)
    polled = source(f"items: '$.list[*]', next: {written}, start: all")

    assert polled.payloads() == [1, 2, 3, 4]
    assert polled.payloads() == []


def test_pages_beyond_the_limit_are_read_by_the_next_poll(service: Service, source: Make) -> None:
    pages(service, 5)
    polled = source("items: '$.list[*]', next: $.next, start: all, max_pages: 2")

    assert [polled.payloads(), polled.payloads(), polled.payloads()] == [[1, 2], [3, 4], [5]]
    assert polled.payloads() == []


def test_pages_beyond_the_limit_of_the_first_poll_are_remembered_by_later_polls(service: Service, source: Make) -> None:
    pages(service, 5)
    polled = source("items: '$.list[*]', next: $.next, max_pages: 2")
    for _ in range(3):
        assert polled.payloads() == []
    pages(service, 6)

    assert [*polled.payloads(), *polled.payloads(), *polled.payloads()] == [6]


def test_the_cursor_moves_once_all_pages_are_stored(service: Service, source: Make) -> None:
    answers = {"/jobs": ([9, 8], "/jobs?page=2"), "/jobs?page=2": ([7], None)}

    def answer(asked: Asked) -> Reply:
        found, link = answers.get(asked.path, ([], None))
        return Reply({"list": found, "next": link})

    service.answer = answer
    polled = source(
        "items: '$.list[*]', next: $.next, cursor: {from: '$.list[*]', query: since, pick: max}, start: all, max_pages: 1"
    )

    assert polled.payloads() == [9, 8]
    assert polled.state.cursor is None
    assert polled.payloads() == [7]
    assert polled.state.cursor == "9"
    polled.poll()
    assert service.asked[-1].path == "/jobs?since=9"


def test_an_expired_next_link_starts_at_the_first_page(service: Service, source: Make) -> None:
    pages(service, 3)
    polled = source("items: '$.list[*]', next: $.next, start: all, max_pages: 1")
    polled.poll()
    good = service.answer
    service.answer = lambda asked: Reply(status=410) if "page" in asked.path else good(asked)
    with pytest.raises(PollError, match="HTTP 410"):
        polled.poll()


def test_method_headers_auth_and_body_are_sent(service: Service, source: Make) -> None:
    polled = source(
        "method: POST, headers: {X-Key: 'k {{ secrets.token }}', Accept: text/x}, auth: {bearer: {env: TOKEN}}, "
        "body: {query: all, key: '{{ secrets.token }}'}",
        url=service.url + "/q?key={{ secrets.token }}",
        TOKEN="long secret",
    )

    polled.poll()

    [asked] = service.asked
    assert (asked.method, asked.path) == ("POST", "/q?key=long%20secret")
    assert asked.headers["x-key"] == "k long secret"
    assert asked.headers["authorization"] == "Bearer long secret"
    assert asked.headers["accept"] == "text/x"
    assert asked.headers["content-type"] == "application/json"
    assert asked.body == b'{"query":"all","key":"long secret"}'


RSS = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>T</title>
%s</channel></rss>"""
ONE = b"<item><guid isPermaLink='false'>a</guid><title>One</title></item>"
TWO = b"<item><guid isPermaLink='false'>b</guid><title>Two</title></item>"


def test_an_rss_feed_may_have_one_or_many_items(service: Service, source: Make) -> None:
    rss = {"Content-Type": "application/rss+xml"}
    service.answer = lambda _: Reply(RSS % ONE, headers=rss)
    polled = source("items: '$.rss.channel.item[*]', id: item.guid, start: all")

    assert [one["title"] for one in polled.payloads()] == ["One"]
    service.answer = lambda _: Reply(RSS % (TWO + ONE), headers=rss)
    assert [one["title"] for one in polled.payloads()] == ["Two"]


def test_an_atom_feed_served_as_plain_text_is_read_with_parse_xml(service: Service, source: Make) -> None:
    feed = b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>urn:1</id><title>x</title></entry></feed>'
    service.answer = lambda _: Reply(feed, headers={"Content-Type": "text/plain"})
    polled = source("items: '$.feed.entry[*]', id: item.id, start: all", more="parse: xml, ")

    assert polled.payloads() == [{"id": "urn:1", "title": "x"}]


def test_a_stored_polled_event_is_parsed_as_in_its_poll(service: Service, source: Make) -> None:
    service.body = [{"id": 1, "deep": {"list": [1, 2]}}]
    polled = source("items: '$[*]', start: all")

    [one] = polled.poll().events

    assert one.event.method == "GET"
    assert one.event.path == "/-/poll/s"
    assert one.event.query == ""
    assert one.routing.matched == ("all",)


def test_a_dry_run_stores_nothing(service: Service, source: Make) -> None:
    service.body = [1, 2]
    polled = source("items: '$[*]'")

    assert polled.payloads(dry=True) == [1, 2]

    assert polled.store.polls() == []
    assert polled.store.events() == []


def test_items_of_several_transactions_are_each_stored_once(service: Service, source: Make) -> None:
    service.body = [{"id": number} for number in range(2 * AT_ONCE + 1)]
    polled = source("items: '$[*]', id: item.id, start: all")

    assert polled.payloads() == service.body
    service.body.append({"id": -1})
    assert polled.payloads() == [{"id": -1}]


def test_a_first_poll_of_many_items_remembers_them_in_steps(
    service: Service, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_poll, "IDS_AT_ONCE", 10)
    service.body = list(range(35))
    polled = source("items: '$[*]'")

    assert polled.payloads() == []
    service.body.append(35)
    assert polled.payloads() == [35]
    assert polled.payloads() == []
