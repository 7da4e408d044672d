"""A poll of a failing, stalling or hostile service ends within its limits, says why, and stores nothing."""

import gzip
import time
from collections.abc import Callable
from typing import Any

import pytest

from router.domain.polls import PollState
from router.operate.poll_source import PollError
from tests.intake.poll.conftest import Source
from tests.polled_service import Reply, Service

Make = Callable[..., Source]

ITEMS = "items: '$[*]', start: all"


def fails(polled: Source, *words: str, stored: int = 0) -> str:
    """Poll, and check that it fails with these words and that so many events are stored. Return the reason."""
    with pytest.raises(PollError) as caught:
        polled.poll()
    text = str(caught.value)
    for word in words:
        assert word in text
    assert bool(polled.store.polls()) == bool(stored)
    assert len(polled.store.events()) == stored
    return text


def head(handler: Any, *lines: str) -> None:
    """Write the beginning of an answer."""
    handler.wfile.write("\r\n".join(["HTTP/1.1 200 OK", "Content-Type: application/json", *lines, "", ""]).encode())


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 300])
def test_any_other_status_is_a_failure(service: Service, source: Make, status: int) -> None:
    service.answer = lambda _: Reply(b"secret words", status)

    assert "secret words" not in fails(source(ITEMS), f"HTTP {status}")


def test_an_answer_above_max_body_is_cut_off(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply(b"[" + b"1," * 2000 + b"1]")

    fails(source(ITEMS, more="max_body: 1KiB, "), "larger than 1KiB")


def test_an_endless_answer_is_cut_off(service: Service, source: Make) -> None:
    def endless(handler: Any) -> None:
        head(handler, "Transfer-Encoding: chunked")
        while True:
            handler.wfile.write(b"1000\r\n" + b"1," * 2048 + b"\r\n")

    service.answer = lambda _: Reply(raw=endless)

    fails(source(ITEMS, more="max_body: 1MiB, "), "larger than 1MiB")


def test_an_answer_sent_byte_by_byte_ends_at_the_timeout(service: Service, source: Make) -> None:
    def drip(handler: Any) -> None:
        head(handler, "Content-Length: 1000")
        for _ in range(1000):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    service.answer = lambda _: Reply(raw=drip)

    fails(source(f"{ITEMS}, timeout: 300ms"), "took longer than 0.3 s")


def test_headers_that_never_come_end_at_the_timeout(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply(raw=lambda _: time.sleep(1))

    fails(source(f"{ITEMS}, timeout: 200ms"), "no answer from")


def test_an_incomplete_answer_is_not_read(service: Service, source: Make) -> None:
    def cut(handler: Any) -> None:
        head(handler, "Content-Length: 100")
        handler.wfile.write(b"[1]")

    service.answer = lambda _: Reply(raw=cut)

    fails(source(ITEMS), "cut off")


def test_a_gzip_bomb_is_cut_off(service: Service, source: Make) -> None:
    bomb = gzip.compress(b"[" + b" " * 20_000_000 + b"]")
    service.answer = lambda _: Reply(bomb, headers={"Content-Encoding": "gzip"})

    fails(source(ITEMS, more="max_body: 1MiB, "), "larger than 1MiB")


def test_gzip_is_read_and_other_codings_are_not(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply(b"[1]", headers={"Content-Encoding": "br"})
    fails(source(ITEMS), "coding other than gzip")
    service.answer = lambda _: Reply(b"[1]", headers={"Content-Encoding": "gzip"})
    fails(source(ITEMS), "not valid gzip")

    service.answer = lambda _: Reply(gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"})
    assert source(ITEMS).payloads() == [1]


@pytest.mark.parametrize("body", [b"[1", b"{", b"\xff\xfe\x00", b"[" * 300 + b"]" * 300, b"[NaN]"])
def test_broken_json_is_a_failure(service: Service, source: Make, body: bytes) -> None:
    service.answer = lambda _: Reply(body)

    fails(source(ITEMS), "the answer")


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize("body", [BOMB, b"<x><y></x>", b"<a>" * 300 + b"</a>" * 300])
def test_hostile_xml_is_a_failure(service: Service, source: Make, body: bytes) -> None:
    service.answer = lambda _: Reply(body, headers={"Content-Type": "text/xml"})

    fails(source("items: '$.x.y[*]'"))


def test_text_has_no_items(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply(b"hello", headers={"Content-Type": "text/html"})

    fails(source(ITEMS), "text, which has no items")


def test_too_many_items_are_a_failure(service: Service, source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.intake.poll.items.MOST_ITEMS", 2)
    service.body = [1, 2, 3]

    fails(source(ITEMS), "more than 2 items")


def test_a_redirect_within_the_host_is_followed(service: Service, source: Make) -> None:
    service.answer = lambda asked: (
        Reply([1]) if asked.path == "/new?a=1" else Reply(status=302, headers={"Location": "/new?a=1"})
    )

    assert source(f"{ITEMS}, auth: {{bearer: {{env: TOKEN}}}}").payloads() == [1]
    assert service.asked[-1].headers["authorization"] == "Bearer a-long-secret"


@pytest.mark.parametrize(
    "secret",
    [
        "auth: {bearer: {env: TOKEN}}",
        "headers: {X-Key: abc}",
        "method: POST, body: {key: abc}",
    ],
)
def test_a_redirect_to_another_host_gets_no_credentials(
    service: Service, other_service: Service, source: Make, secret: str
) -> None:
    service.answer = lambda _: Reply(status=307, headers={"Location": other_service.url + "/x"})

    fails(source(f"{ITEMS}, {secret}"), "another host")

    assert other_service.asked == []


def test_a_secret_in_the_url_is_not_redirected_to_another_host(
    service: Service, other_service: Service, source: Make
) -> None:
    service.answer = lambda _: Reply(status=302, headers={"Location": other_service.url + "/x"})

    fails(source(ITEMS, url=service.url + "/?key={{ secrets.token }}"), "another host")

    assert other_service.asked == []


def test_a_redirect_to_another_host_without_secrets_is_followed(
    service: Service, other_service: Service, source: Make
) -> None:
    other_service.body = [7]
    service.answer = lambda _: Reply(status=302, headers={"Location": other_service.url + "/x"})

    assert source(ITEMS).payloads() == [7]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
    ],
)
def test_a_redirect_to_a_metadata_service_is_refused(service: Service, source: Make, location: str) -> None:
    service.answer = lambda _: Reply(status=302, headers={"Location": location})

    fails(source(ITEMS), "link-local or metadata address")


@pytest.mark.parametrize(
    "location", ["", "ftp://x/", "file:///etc/passwd", "http://", "//[", "http://a@b/", "x" * 9000]
)
def test_a_redirect_without_a_usable_location_is_a_failure(service: Service, source: Make, location: str) -> None:
    service.answer = lambda asked: (
        Reply(status=302, headers={"Location": location}) if asked.path == "/jobs" else Reply(status=404)
    )

    fails(source(ITEMS))


def test_circular_redirects_are_a_failure(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply(status=302, headers={"Location": "/jobs"})

    fails(source(ITEMS), "more than 5 times")
    assert len(service.asked) == 6


def test_a_post_is_not_redirected_into_a_get(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply(status=302, headers={"Location": "/other"})

    fails(source(f"{ITEMS}, method: POST"), "HTTP 302", "final URL")
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("link", "word"),
    [
        ("http://127.0.0.1:1/x", "another host"),
        ("https://{host}/x", "another host"),
        ("javascript:alert(1)", "not an http(s) URL"),
        ("/jobs", "back to a page"),
        ("http://a b/\\x", "not an http(s) URL"),
    ],
)
def test_a_next_link_to_another_host_is_not_followed(service: Service, source: Make, link: str, word: str) -> None:
    link = link.format(host=service.url.removeprefix("http://"))
    service.answer = lambda _: Reply({"list": [1], "next": link})

    fails(source("items: '$.list[*]', next: $.next, start: all"), word, stored=1)

    assert len(service.asked) == 1


@pytest.mark.parametrize("next_", [7, ["a"], {"a": 1}, True, "x" * 9000, "a\nb"])
def test_a_next_link_that_is_not_http_is_not_followed(service: Service, source: Make, next_: object) -> None:
    service.answer = lambda asked: (
        Reply({"list": [1], "next": next_}) if "/7" not in asked.path else Reply({"list": [2]})
    )
    polled = source("items: '$.list[*]', next: $.next, start: all")

    if next_ == 7:  # a relative reference
        assert polled.payloads() == [1, 2]
    else:
        fails(polled, "$.next", stored=1)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "<",
        "</a>; rel",
        "</a>; rel=prev",
        '</a; rel="next"',
        "rel=next",
        '<>; rel="next',
        "," * 50,
        '</x>; rel="prev"; x="<y>; rel=next"',
    ],
)
def test_a_broken_link_header_has_no_next_page(service: Service, source: Make, header: str) -> None:
    service.answer = lambda _: Reply([1], headers={"Link": header})

    assert source(f"{ITEMS}, next: link").payloads() == [1]
    assert len(service.asked) == 1


@pytest.mark.parametrize("value", [True, [1], {"a": 1}, "x" * 9000, "a\r\nX-Evil: 1"])
def test_a_cursor_that_is_no_text_or_number_is_a_failure(service: Service, source: Make, value: object) -> None:
    service.answer = lambda _: Reply({"list": [1], "cursor": value})

    fails(source("items: '$.list[*]', cursor: {from: $.cursor, header: X-Since}, start: all"), "$.cursor")


def test_a_cursor_stays_in_its_parameter(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply({"list": [1], "cursor": "a&admin=1#x y"})
    polled = source("items: '$.list[*]', cursor: {from: $.cursor, query: since}, start: all, max_pages: 1")
    polled.poll()

    polled.poll()

    assert service.asked[-1].path == "/jobs?since=a%26admin%3D1%23x%20y"


def test_a_cursor_from_mixed_numbers_and_texts_is_a_failure(service: Service, source: Make) -> None:
    service.body = [{"n": 1}, {"n": "b"}]

    fails(source(f"{ITEMS}, cursor: {{from: '$[*].n', query: n, pick: max}}"), "texts and numbers")


def test_a_page_that_fails_leaves_the_pages_before_it_stored(service: Service, source: Make) -> None:
    ok = True
    service.answer = lambda asked: (
        Reply({"list": ["b"]} if ok else b"{", 200) if "2" in asked.path else Reply({"list": ["a"], "next": "/jobs?2"})
    )
    polled = source("items: '$.list[*]', next: $.next, start: all")
    ok = False
    with pytest.raises(PollError):
        polled.poll()
    assert polled.state.next == f"{service.url}/jobs?2"
    ok = True

    assert polled.payloads() == ["b"]
    assert polled.payloads() == []


def test_an_event_that_can_not_be_redacted_is_not_stored(service: Service, source: Make) -> None:
    service.body = [{"card": {"number": "4111"}, "id": 1}]
    polled = source(f"{ITEMS}, id: item.id", more="redact: [$.card.number], ")

    [one] = polled.poll().events

    assert b"4111" not in one.event.body
    assert b'"id":1' in one.event.body.replace(b" ", b"")


def test_no_secret_is_in_an_error_or_in_the_state(service: Service, source: Make) -> None:
    service.answer = lambda _: Reply({"list": [1], "next": "/jobs?page=2&key=a-long-secret"}, headers={"ETag": '"x"'})
    polled = source(
        "items: '$.list[*]', next: $.next, start: all, max_pages: 1, headers: {X-Key: '{{ secrets.token }}'}",
        url=service.url + "/jobs?key={{ secrets.token }}",
    )
    polled.poll()

    assert polled.state.next is None
    assert "a-long-secret" not in PollState.as_text(polled.state)
    service.server.shutdown()
    service.server.server_close()
    with pytest.raises(PollError) as caught:
        polled.poll()
    assert "key" not in str(caught.value)
    assert "jobs?" not in str(caught.value)
