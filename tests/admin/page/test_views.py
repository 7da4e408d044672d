"""The views show the content of the store, and their actions have the effect of the commands."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from router.admin import app
from router.admin.api.deliveries import MAX_CHANGED
from router.admin.page.views import deliveries
from router.domain.deliveries import State
from router.domain.filters import Filter
from router.operate import recent_counts
from router.store.contract import PAGE
from tests.admin.conftest import Admin
from tests.admin.page.conftest import Browser

HOSTILE = """</td><script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7*7 }}\u202eevil\x1b[31m"""


@pytest.fixture
def page(browser: Browser) -> Browser:
    """A signed-in browser."""
    return browser.sign_in()


def test_the_overview_lists_problems_or_says_that_all_is_well(admin: Admin, page: Browser) -> None:
    assert "All is well" in page.go("/")

    admin.checks["store"] = False
    shown = page.go("/")

    assert "its store check fails" in shown
    assert "All is well" not in shown


def test_an_event_is_found_listed_and_explained(admin: Admin, page: Browser) -> None:
    matched, unmatched = admin.receive({"ref": "main", "repo": "a"}), admin.receive({"ref": "other"})

    listed = page.go("/events")
    assert listed.index(unmatched) < listed.index(matched)
    assert unmatched in page.go("/events?unmatched=1") and matched not in page.text
    shown = page.go(f"/find?id={matched}")
    assert f"{matched}</span></h1>" in shown
    assert "deploy main / build" in shown
    assert _verdict_on("$.ref", shown) == "holds"
    assert _verdict_on("$.ref", page.go(f"/events/{unmatched}")) == "fails"


def _verdict_on(field: str, shown: str) -> str:
    """The verdict on the first condition of a field, as a screen reader reads it."""
    words = re.sub(r"<[^>]*>", " ", shown[: shown.index(f"<code>{field}</code>")])
    return words.split()[-1].removesuffix(":")


def test_text_of_senders_is_escaped_in_every_view(admin: Admin, page: Browser) -> None:
    event = admin.receive(
        {"ref": "main", "repo": HOSTILE}, headers=(("X-A", HOSTILE), ("Content-Type", "application/json"))
    )
    delivery = admin.store.deliveries(Filter(event_id=event))[0].id

    for path in ("/", "/events", f"/events/{event}", "/deliveries", f"/deliveries/{delivery}", f"/events?source={HOSTILE}",
                 f"/deliveries?rule={HOSTILE}", f"/find?id={HOSTILE}"):  # fmt: skip
        page.send("GET", path.partition("?")[0] + "?" + path.partition("?")[2], None, {})
        assert "<script>alert" not in page.text, path
        assert "<img" not in page.text, path
        if "=" not in path:  # the field of a filter shows the text of the address
            assert "\u202e" not in page.text and "\x1b" not in page.text, path
        assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|49evil", page.text)
    page.go("/try")
    page.post(
        "/try", source="github", payload=f'{{"ref": "{HOSTILE}"}}', headers=f"X-A: {HOSTILE}", content_type=HOSTILE
    )
    assert "<script>alert" not in page.text and "<img" not in page.text


def test_chosen_deliveries_are_cancelled_and_replayed(admin: Admin, page: Browser) -> None:
    event = admin.receive({"ref": "main", "repo": "a"})
    first, second = (one.id for one in admin.store.deliveries(Filter(event_id=event)))

    page.go("/deliveries")
    page.send("POST", "/deliveries/all/cancel", {**page.form("/deliveries/all/replay").fields, "id": [first]}, {})
    assert "1 cancelled" in page.text
    assert {one.id: one.state for one in admin.store.deliveries()} == {first: State.CANCELLED, second: State.PENDING}
    page.go(f"/deliveries/{first}")
    page.post("/deliveries/all/replay")
    assert f"{first}</span></h1>" in page.text
    assert admin.store.deliveries(Filter(event_id=event))[0].state is State.PENDING


def test_all_matching_deliveries_are_changed_after_their_number_is_confirmed(admin: Admin, page: Browser) -> None:
    for _ in range(3):
        admin.receive({"ref": "main", "repo": "a"})
    page.go("/deliveries?action=build")
    page.send("POST", "/deliveries/all/cancel/confirm", page.form("/deliveries/all/replay").fields, {})
    assert "Cancel 3 deliveries?" in page.text
    form = page.form("/deliveries/all/cancel").fields
    admin.receive({"ref": "main", "repo": "a"})

    page.send("POST", "/deliveries/all/cancel", form, {})
    assert page.status == 409
    assert admin.store.count(Filter(states=(State.CANCELLED,))) == 0
    page.send("POST", "/deliveries/all/cancel", {**form, "number": "4"}, {})
    assert "4 cancelled" in page.text
    assert admin.store.count(Filter(states=(State.CANCELLED,))) == admin.store.count(Filter(action="build")) == 4


def test_the_question_about_very_many_deliveries_says_how_many_one_click_changes(
    admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_CHANGED", 2)
    for _ in range(3):
        admin.receive({"ref": "main", "repo": "a"})

    page.go("/deliveries/all/cancel/confirm?action=build")
    assert "Cancel 2 of more than 2 deliveries?" in page.text
    page.post("/deliveries/all/cancel")

    assert page.status == 200
    assert admin.store.count(Filter(states=(State.CANCELLED,))) > 0


def test_one_click_changes_whole_pages_of_deliveries() -> None:
    assert MAX_CHANGED % PAGE == 0  # as many as were confirmed


def test_a_browser_gets_an_error_page_for_a_mistyped_address(admin: Admin, page: Browser) -> None:
    accepts = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    for path in ("/ui/nothing", "/event"):
        page.send("GET", path, None, accepts)
        assert page.status == 404
        assert '<a href="/">' in page.text
    assert admin.ask("GET", "/ui/nothing", token=None).headers["content-type"] == "application/problem+json"
    assert admin.ask("GET", "/api/nothing", headers=accepts).headers["content-type"] == "application/problem+json"


def test_an_old_count_is_shown_with_its_age(admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_counts, "SHARED_ROWS", 1)
    monkeypatch.setattr(recent_counts, "SHARED_SECONDS", 3600.0)
    admin.receive({"ref": "main", "repo": "a"})
    assert "The numbers are" not in page.go("/targets")
    counted = admin.daemon.counts._depths
    assert counted._last is not None
    counted._last = replace(counted._last, begun_at=counted._last.begun_at - 120)

    for path in ("/", "/targets"):
        assert re.search("The numbers are 2 ?m[a-z ]*[0-9 s]*old", page.go(path)), path


def test_a_change_of_all_deliveries_needs_a_filter(admin: Admin, page: Browser) -> None:
    admin.receive({"ref": "main", "repo": "a"})
    page.go("/deliveries")
    fields = page.form("/deliveries/all/replay").fields

    page.send("POST", "/deliveries/all/cancel", {**fields, "number": "2"}, {})

    assert page.status == 409
    assert admin.store.count(Filter(states=(State.CANCELLED,))) == 0


def test_a_target_is_paused_and_resumed(admin: Admin, page: Browser) -> None:
    page.go("/targets")
    page.send("POST", "/targets/pause", {**page.form("/targets/pause").fields, "target": "ci", "for": "2h"}, {})
    assert "paused by an operator" in page.text
    assert admin.store.holds()

    page.send("POST", "/targets/resume", {**page.form("/targets/resume").fields, "target": "ci"}, {})
    assert "paused by" not in page.text
    page.send("POST", "/targets/pause", {**page.form("/targets/pause").fields, "target": "nosuch"}, {})
    assert page.status == 404
    page.go("/targets")
    page.send("POST", "/targets/pause", {**page.form("/targets/pause").fields, "target": "ci", "for": "soon"}, {})
    assert page.status == 409


def test_the_running_rules_are_shown_with_their_text(admin: Admin, page: Browser) -> None:
    shown = page.go("/rules")

    assert "deploy main" in shown and "build → ci" in shown
    assert "sources:" in shown
    assert "planted-secret" not in shown


def test_a_payload_is_tried_and_nothing_is_stored(admin: Admin, page: Browser) -> None:
    page.go("/try")

    shown = page.post("/try", source="github", payload='{"ref": "main", "repo": "a"}')

    assert "deploy main / build → ci" in shown
    assert "planted-secret" not in shown
    assert not admin.store.events()
    assert "can&#39;t be parsed" in page.post("/try", source="github", payload="{")


@pytest.mark.parametrize("path", ["/events?since=soon", "/events?state=odd", "/events?after=x", "/deliveries?state=odd",
                                  "/events/nosuch", "/deliveries/nosuch", "/find?id=", "/find?id=%ff"])  # fmt: skip
def test_a_wrong_address_gets_a_page_with_the_reason(page: Browser, path: str) -> None:
    page.go(path)

    assert page.status == 404
    assert 'role="alert"' in page.text


def test_the_next_page_of_a_list_continues_after_the_last_row(admin: Admin, page: Browser) -> None:
    ids = [admin.receive({"ref": "other", "n": n}) for n in range(60)]

    first = page.go("/events?source=github")
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    second = page.go(older[1].replace("&amp;", "&"))

    assert [one for one in reversed(ids) if one in first] == list(reversed(ids[10:]))
    assert [one for one in reversed(ids) if one in second] == list(reversed(ids[:10]))
    assert 'rel="next"' not in second


def test_the_overview_is_small(admin: Admin, page: Browser) -> None:
    for n in range(20):
        admin.receive({"ref": "main", "n": n})

    size = len(page.go("/"))
    for address in re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text):
        size += len(page.go(address))
        assert "immutable" in page.headers["cache-control"]
    assert size < 60_000


def test_an_unavailable_store_gets_an_error_page(admin: Admin, page: Browser) -> None:
    event = admin.receive({"ref": "main"})
    page.go("/deliveries/all/replay/confirm?state=pending")
    admin.store.close()

    for path in ("/", "/events", f"/events/{event}", "/deliveries", "/targets", "/rules", f"/find?id={event}"):
        page.go(path)
        assert page.status == 503, path
        assert page.headers["content-type"].startswith("text/html"), path
        assert "the store can't be read or written at the moment" in unescape(page.text), path
        assert page.headers["retry-after"] == "5"
    assert 'href="/rules"' in page.text  # this view needs no store


def test_a_busy_page_says_that_many_requests_are_waiting(
    admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "AT_ONCE", 0)
    monkeypatch.setattr(app, "WAITING", 0)
    admin.open()

    page.sign_in()  # this view uses no store, so it works
    shown = page.go("/events")

    assert (page.status, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "too many requests are under way" in shown


def test_a_payload_of_a_megabyte_can_be_tried(page: Browser) -> None:
    page.go("/try")
    whole = json.dumps({"ref": "main", "repo": "a", "more": ['"'] * 170_000})

    shown = page.post("/try", source="github", payload=whole)

    assert 950_000 < len(whole) < 1024**2
    assert (page.status, "deploy main" in shown) == (200, True)
