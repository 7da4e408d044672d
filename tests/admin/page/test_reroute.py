"""All events that a filter finds are rerouted after their number was confirmed."""

import pytest

from router.admin.page.views import reroute
from router.domain.filters import Filter
from tests.admin.conftest import RULES, Admin
from tests.admin.page.conftest import Browser

MENDED = RULES + "  - {name: late, source: github, match: {$.late: true}, actions: [append: late.jsonl]}\n"


@pytest.fixture
def page(browser: Browser) -> Browser:
    """A signed-in browser."""
    return browser.sign_in()


def test_unmatched_events_are_planned_again_after_a_fix(admin: Admin, page: Browser) -> None:
    late = [admin.receive({"late": True, "n": n}) for n in range(3)]
    other = admin.receive({"other": True})
    page.go("/events")
    assert "Plan all that match" not in page.text
    page.go("/events?unmatched=1")
    assert '<a class="button" href="/events/all/reroute?unmatched=1">' in page.text
    admin.ruleset = admin.daemon.loader.load(MENDED, "rules.yaml", admin.folder).require()

    assert "Plan 4 events again?" in page.go("/events/all/reroute?unmatched=1")
    page.post("/events/all/reroute")

    assert "3 deliveries planned for 3 events; 1 event got none." in page.text
    assert other in page.text and not any(one in page.text for one in late)
    assert len(admin.store.deliveries(Filter(rule="late"))) == 3


def test_a_changed_number_of_events_must_be_confirmed_again(admin: Admin, page: Browser) -> None:
    admin.receive({"late": True})
    page.go("/events/all/reroute?unmatched=1")
    admin.receive({"late": True})

    page.post("/events/all/reroute")

    assert (page.status, "has changed since you were asked" in page.text) == (409, True)


def test_another_click_continues_the_reroute(admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        admin.receive({"late": True, "n": n}, source="github")
    admin.ruleset = admin.daemon.loader.load(MENDED, "rules.yaml", admin.folder).require()
    monkeypatch.setattr(reroute, "MAX_REROUTED", 2)
    page.go("/events/all/reroute?source=github")

    page.post("/events/all/reroute")
    assert "2 deliveries planned for 2 events." in page.text
    assert "Go on planning again?" in page.text
    page.post("/events/all/reroute")
    page.post("/events/all/reroute")

    assert "<h1>Events</h1>" in page.text
    assert len(admin.store.deliveries(Filter(rule="late"))) == 5


@pytest.mark.parametrize("query", ["", "after=1", "unmatched=1&position=x-y", "unmatched=1&position=1"])
def test_a_reroute_without_a_filter_plans_nothing(admin: Admin, page: Browser, query: str) -> None:
    page.go(f"/events/all/reroute?{query}")

    assert page.status in (404, 409)
