"""All can be done by keys; what has the focus shows it, and keeps it while a view renews itself."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.scene import Scene
from tests.browser.window import Window

# Whether the element is in order behind the last one, can be seen, and shows that it has the focus.
_LOOK = """() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  const ordered = !window.last || !!(window.last.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING);
  window.last = e;
  const name = (e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent || e.placeholder || "").trim();
  return {end: e === document.body, name, what: e.outerHTML.slice(0, 120), ordered,
    marked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth};
}"""
_HIDE = """hidden => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""
_TO_REACH = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter(e => e.type !== "hidden" && e.checkVisibility()).length"""


@pytest.fixture(scope="module")
def event(scene: Scene) -> str:
    """An event that was delivered."""
    pushed = scene.push()
    scene.settled(pushed)
    return pushed


@pytest.mark.parametrize("view", ["/", "/events", "event", "/deliveries", "/targets", "/rules", "/rules/try", "/try"])
def test_tab_reaches_everything_in_order_and_shows_where_it_is(window: Window, event: str, view: str) -> None:
    window.go(f"/events/{event}" if view == "event" else view)

    seen: list[dict[str, Any]] = []
    while len(seen) < 300:
        window.press("Tab")
        look: dict[str, Any] = window.page.evaluate(_LOOK)
        if look["end"]:
            break
        seen.append(look)

    assert seen[0]["name"] == "Skip to the content"
    assert [one["what"] for one in seen if not (one["marked"] and one["seen"] and one["ordered"] and one["name"])] == []
    assert len(seen) == window.page.evaluate(_TO_REACH)


def test_the_skip_link_leads_past_the_head_of_the_page(window: Window) -> None:
    window.go("/events")

    window.press("Tab", "Enter", "Tab")

    assert window.focused() == "Source"


def test_keys_find_an_event_and_copy_its_id(scene: Scene, window: Window, event: str) -> None:
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=scene.url)
    window.go("/")

    window.press("/")
    window.page.keyboard.type(event[:-3])  # nearly all of the id: others were made in the same second
    window.press("Enter")
    window.page.wait_for_url(f"{scene.url}/events/{event}")
    window.press("c")

    window.page.wait_for_function("id => navigator.clipboard.readText().then(text => text === id)", arg=event)


def test_letters_in_a_field_are_text(window: Window) -> None:
    window.go("/events")

    window.page.focus("[name=rule]")
    window.page.keyboard.type("a/c")

    assert window.page.input_value("[name=rule]") == "a/c"
    assert window.focused() == "Rule"


def test_a_view_that_renews_itself_keeps_focus_and_place(scene: Scene, window: Window, event: str) -> None:
    window.page.set_viewport_size({"width": 360, "height": 740})
    window.go("/events")
    link = f"main a[href='/events/{event}']"
    window.page.focus(link)
    window.page.evaluate("document.querySelector('main .wide').scrollLeft = 50")

    newer = scene.push()
    window.page.wait_for_selector(f"main a[href='/events/{newer}']")

    assert window.page.evaluate("document.activeElement.getAttribute('href')") == f"/events/{event}"
    assert window.page.evaluate("document.querySelector('main .wide').scrollLeft") == 50


def test_a_field_that_is_filled_in_is_left_alone(open_window: Callable[..., Window]) -> None:
    window = open_window()
    window.page.clock.install()
    window.go("/targets")
    window.page.focus("[name=for]")
    window.page.keyboard.type("2")
    asked = len(window.requested)

    window.page.clock.run_for(60_000)
    window.page.keyboard.type("h")

    assert window.page.input_value("[name=for] >> nth=0") == "2h"
    assert len(window.requested) == asked


def test_a_hidden_tab_asks_nothing(open_window: Callable[..., Window]) -> None:
    window = open_window()
    window.page.clock.install()
    window.go("/")
    with window.page.expect_request(window.url + "/"):
        window.page.clock.run_for(6_000)

    window.page.evaluate(_HIDE, True)  # Playwright shows every tab, so the document is told
    asked = len(window.requested)
    window.page.clock.run_for(600_000)
    assert len(window.requested) == asked

    with window.page.expect_request(window.url + "/"):
        window.page.evaluate(_HIDE, False)


def test_a_view_asks_for_the_token_once_its_session_has_ended(scene: Scene, open_window: Callable[..., Window]) -> None:
    window = open_window()
    window.go("/")
    other = window.page.context.new_page()
    other.goto(scene.url + "/")
    other.click("text=Sign out")

    window.page.wait_for_selector("#token")
