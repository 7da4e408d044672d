"""The view of a delivery: why it waits, until when, and its attempts."""

import html
import json
import re

import pytest

from router.domain.deliveries import Settlement, State
from router.domain.filters import Filter
from router.domain.outcomes import Outcome
from tests.admin.conftest import NOW, Admin
from tests.admin.page.conftest import Browser


@pytest.fixture
def page(browser: Browser) -> Browser:
    """A signed-in browser."""
    return browser.sign_in()


def words(text: str) -> str:
    """The visible text of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def build_of(admin: Admin, event: str) -> str:
    """The id of the event's delivery by the action `build`."""
    [found] = admin.store.deliveries(Filter(event_id=event, action="build"))
    return found.id


def test_a_delivery_blocked_by_its_order_links_to_the_one_before_it(admin: Admin, page: Browser) -> None:
    other, first, second = (admin.receive({"ref": "main", "repo": repo}) for repo in ("other", "a", "a"))
    before = build_of(admin, first)

    shown = page.go(f"/deliveries/{build_of(admin, second)}")

    assert "It waits for its turn: an earlier delivery with the same order key has to end first." in words(shown)
    assert f'<a class="id" href="/deliveries/{before}">' in shown
    assert build_of(admin, other) not in shown
    assert "It is due" in words(page.go(f"/deliveries/{before}"))


def test_a_waiting_retry_is_shown_with_its_time_and_the_last_error(admin: Admin, page: Browser) -> None:
    delivery = build_of(admin, admin.receive({"ref": "main", "repo": "a"}))
    [claim] = admin.store.claim({"ci": 1}, NOW + 1).result(60)
    failed = Outcome.failed("<b>no</b>", 503)
    again = Settlement(delivery, claim.token, failed, State.PENDING, NOW + 2, NOW + 90_000)
    assert all(admin.store.settle([again]).result(60))

    shown = words(page.go(f"/deliveries/{delivery}"))

    assert "It waits for its next try, after 1 failed one. It continues at 2026-09-21 14:14:50 UTC , in 90s." in shown
    assert "<b>no</b>" in shown
    assert "<b>no</b>" not in page.text


@pytest.mark.parametrize(
    ("noted", "said"),
    [
        ({"for": "breaker", "until": NOW + 60_000}, "the breaker of target ci, which keeps failing"),
        ({"for": "rate", "until": NOW + 60_000}, "the rate of target ci"),
        ({"for": "concurrency", "until": None}, "a free place: target ci"),
    ],
    ids=["breaker", "rate", "concurrency"],
)
def test_each_limit_of_a_target_is_shown_as_the_reason_for_waiting(
    admin: Admin, page: Browser, noted: object, said: str
) -> None:
    delivery = build_of(admin, admin.receive({"ref": "main", "repo": "a"}))
    admin.store.put_note("waits", json.dumps({"ci": noted})).result(60)

    assert said in words(page.go(f"/deliveries/{delivery}"))


def test_a_delivery_at_a_paused_target_shows_who_paused_it(admin: Admin, page: Browser) -> None:
    delivery = build_of(admin, admin.receive({"ref": "main", "repo": "a"}))
    admin.store.pause("ci", NOW + 120_000, NOW).result(60)

    shown = words(page.go(f"/deliveries/{delivery}"))

    assert "It is held: target ci is paused by command. To let it go, resume the target." in shown
    assert "in 2m" in shown
