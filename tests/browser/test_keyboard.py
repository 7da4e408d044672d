"""The page can be used by the keyboard. The focus is visible and stays in place when a view refreshes."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.scene import Scene
from tests.browser.tabs import Tabs
from tests.browser.window import Window, control, session_cookie
from tests.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Whether the element follows the last one in order, is visible, and shows the focus.
_LOOK = """() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  const ordered = !window.last || !!(window.last.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING);
  window.last = e;
  const name = (e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent || e.placeholder || "").trim();
  return {end: e === document.body, name, what: e.outerHTML.slice(0, 120), ordered,
    marked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth};
}"""
_ASKED = "performance.getEntriesByType('resource').filter(one => one.initiatorType === 'fetch').length"
_LATER = "new Promise(done => setTimeout(done, 60_000))"  # a minute of the tab's fast time
_HELD = """([key, held]) => document.body.dispatchEvent(new KeyboardEvent("keydown",
  {key, bubbles: true, ctrlKey: held === "Control", altKey: held === "Alt", metaKey: held === "Meta"}))"""
_TO_REACH = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter(e => e.type !== "hidden" && e.checkVisibility()).length"""

PAGE = Path(__file__).parents[2] / "docs/page.md"


@pytest.fixture(scope="module")
def event(scene: Scene) -> str:
    """A delivered event among others."""
    scene.settled(scene.push())
    pushed = scene.push()
    scene.settled(pushed)
    scene.settled(scene.invoice())
    return pushed


def test_tab_reaches_every_control_in_order_with_a_visible_focus(window: Window, event: str) -> None:
    views = ["/", f"/events/{event}", "/deliveries?state=dead", "/targets", "/rules", "/rules/try", "/try"]
    for view in views:
        window.go(view)

        seen: list[dict[str, Any]] = []
        while len(seen) < 300:
            window.press("Tab")
            look: dict[str, Any] = window.page.evaluate(_LOOK)
            if look["end"] or (seen and look["what"] == seen[0]["what"]):  # a headless browser starts again
                break
            seen.append(look)

        assert seen[0]["name"] == "Skip to the content", view
        wrong = [one for one in seen if not (one["marked"] and one["seen"] and one["ordered"] and one["name"])]
        assert wrong == [], view
        assert len(seen) == window.page.evaluate(_TO_REACH), view


def test_the_skip_link_skips_the_head_of_the_page(window: Window) -> None:
    window.go("/events")

    window.press("Tab", "Enter", "Tab")

    assert window.focused() == "Source"


def test_the_help_lists_exactly_the_keys_of_the_page(window: Window) -> None:
    documented = re.findall(r"^\| (`.*?) \|", PAGE.read_text().partition("## Keys")[2].partition("##")[0], re.MULTILINE)
    window.go("/")

    shown = window.page.evaluate(
        "[...document.querySelectorAll('#keys dt')].map(e => e.textContent.match(/[a-z?\\/]/g).join(''))"
    )

    letters = ["".join(re.findall(r"`(.)`", one)) for one in documented]
    assert (
        sorted(letters) == sorted(one.replace("and", "") for one in shown) == sorted(["/", "c", "jk", "goedtrp", "?"])
    )


def test_a_slash_focuses_the_search_for_ids_and_c_copies_the_shown_id(scene: Scene, window: Window, event: str) -> None:
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=scene.url)
    window.go("/")

    window.press("/")
    window.page.keyboard.type(event[:-3])  # a long part of the id, since others were made in the same second
    window.press("Enter")
    window.page.wait_for_url(f"{scene.url}/events/{event}")

    assert copied(window) == event
    window.go(f"/events/{event}/copy")
    assert copied(window) == event
    dead = scene.deliveries(state="dead")[0]["id"]
    window.go(f"/deliveries/{dead}")
    assert copied(window) == dead


def copied(window: Window) -> str:
    """The id that `c` copies."""
    window.page.evaluate("navigator.clipboard.writeText('')")
    window.press("c")
    window.page.wait_for_function("navigator.clipboard.readText().then(text => text !== '')")
    text: str = window.page.evaluate("navigator.clipboard.readText()")
    return text


def row(window: Window) -> int:
    """The number of the focused row among the visible ones, or -1."""
    number: int = window.page.evaluate(
        "[...document.querySelectorAll('main tbody tr')].filter(e => e.checkVisibility())"
        ".findIndex(e => e.contains(document.activeElement))"
    )
    return number


@pytest.mark.parametrize("view", ["/", "/events", "/deliveries", "/targets", "/rules"])
def test_j_and_k_move_through_the_rows_of_every_list(window: Window, event: str, view: str) -> None:
    window.go(view)
    walked = []
    for key in "jjkkjj":
        window.press(key)
        walked.append(row(window))

    assert walked == [0, 1, 0, 0, 1, 2]


def test_a_focused_row_can_be_copied_and_opened(scene: Scene, window: Window, event: str) -> None:
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=scene.url)
    window.go("/events")
    ids = window.page.eval_on_selector_all("main tbody a.id", "all => all.map(e => e.textContent)")

    window.press("j", "j")
    assert copied(window) == ids[1]
    window.press("Enter")
    window.page.wait_for_url(f"{scene.url}/events/{ids[1]}")

    window.go("/deliveries")
    window.page.focus("main tbody input[type=checkbox] >> nth=0")  # letters do nothing special in a field
    window.press("j", "Enter")
    window.page.wait_for_url(f"{scene.url}/deliveries/*")


def test_g_and_a_letter_open_the_views(scene: Scene, window: Window) -> None:
    window.go("/nodes")
    for letter, path in {
        "e": "/events",
        "d": "/deliveries",
        "t": "/targets",
        "r": "/rules",
        "p": "/try",
        "o": "/",
    }.items():
        window.press("g", letter)
        window.page.wait_for_url(scene.url + path)


def test_g_is_forgotten_after_another_key_or_some_time(scene: Scene, open_window: Callable[..., Window]) -> None:
    window = open_window()
    window.page.clock.install()
    window.go("/rules")

    window.press("g", "x", "e")
    window.press("g")
    window.page.clock.run_for(3_000)
    window.press("e")

    window.press("g", "g", "t")  # the next requested address
    window.page.wait_for_url(scene.url + "/targets")
    assert [one for one in window.requested if "/assets/" not in one] == ["GET /rules", "GET /targets"]


def test_keys_with_a_modifier_are_left_to_the_browser(window: Window, event: str) -> None:
    window.go("/events")
    state = "() => [document.activeElement.tagName, document.querySelector('#keys').open, document.querySelector('#told').textContent]"

    for held in ("Control", "Alt", "Meta"):
        for key in ("j", "k", "c", "/", "?", "e"):
            # Dispatch the event as the browser does, since the browser would handle some of these keys itself.
            window.page.evaluate(_HELD, ["g", held])
            window.page.evaluate(_HELD, [key, held])
            assert window.page.evaluate(state) == ["BODY", False, ""], f"{held} {key}"
    for key in ("J", "K", "C", "G"):
        window.press(f"Shift+{key}")
        assert window.page.evaluate(state) == ["BODY", False, ""], key
    assert window.page.url.endswith("/events")


def test_letters_typed_into_a_field_are_text(window: Window) -> None:
    typed = "gej?k/c"
    for view, field in (("/events", "[name=rule]"), ("/try", "#payload"), ("/rules/try", "#text"), ("/try", "#find")):
        window.go(view)
        window.page.fill(field, "")
        window.page.keyboard.type(typed)

        assert window.page.input_value(field) == typed
        assert window.page.evaluate("document.activeElement.value") == typed
        assert not window.page.locator("dialog[open]").count()
        assert window.page.url.endswith(view)
    window.page.focus("select")
    window.press("?", "/")
    assert window.page.evaluate("document.activeElement.tagName") == "SELECT"
    assert not window.page.locator("dialog[open]").count()


def test_the_help_keeps_the_focus_and_returns_it_when_closed(scene: Scene, window: Window, event: str) -> None:
    window.go("/events")
    window.press("j")
    place = window.page.evaluate("document.activeElement.href")

    window.press("?")
    assert window.focused() == "Close"
    window.press("g", "e", "j", "/", "c", "Tab", "Tab")
    assert window.page.evaluate("document.activeElement.closest('main, header')") is None
    assert window.page.locator("dialog[open]").count() == 1
    for close in ("Escape", "?", "Enter"):
        if close != "Escape":
            window.press("?")
        window.press(close)
        assert window.page.locator("dialog[open]").count() == 0, close
        assert window.page.evaluate("document.activeElement.href") == place, close

    window.page.click("[data-keys]")
    assert window.focused() == "Close"
    window.press("Escape")
    assert window.focused() == "Keys"


def test_a_refreshed_view_keeps_the_focus_and_the_scroll_position(scene: Scene, window: Window, event: str) -> None:
    window.page.set_viewport_size({"width": 360, "height": 740})
    window.go("/events")
    link = f"main a[href='/events/{event}']"
    window.page.focus(link)
    window.page.evaluate("document.querySelector('main .wide').scrollLeft = 50")

    newer = scene.push()
    window.page.wait_for_selector(f"main a[href='/events/{newer}']")

    assert window.page.evaluate("document.activeElement.getAttribute('href')") == f"/events/{event}"
    assert window.page.evaluate("document.querySelector('main .wide').scrollLeft") == 50


def test_a_refreshed_view_keeps_opened_folds_and_selected_rows(
    scene: Scene, open_window: Callable[..., Window], event: str
) -> None:
    window = open_window()
    window.page.clock.install()
    window.go("/?span=1h")
    window.page.focus("#numbers summary")
    window.press("Enter")
    window.page.wait_for_function("location.hash === '#parts=0'")

    newer = scene.push()
    window.page.clock.run_for(6_000)
    window.page.wait_for_selector(f"main a[href='/events/{newer}']")
    assert window.page.locator("#numbers[open]").count() == 1
    assert window.focused() == "The numbers as a table"
    marked = (
        "(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2)(getComputedStyle(document.activeElement))"
    )
    assert window.page.evaluate(marked)

    asked = len(window.requested)
    window.page.evaluate("getSelection().selectAllChildren(document.querySelector('main .facts'))")
    window.page.clock.run_for(60_000)
    assert len(window.requested) == asked
    assert "pending" in window.page.evaluate("String(getSelection())")


def test_opened_folds_are_open_again_after_a_reload(window: Window, scene: Scene, event: str) -> None:
    window.go(f"/events/{event}?rules=then")
    parts = window.page.locator("main details")
    first = parts.evaluate_all("all => all.map(one => one.open)")
    for number in (0, len(first) - 1):
        parts.nth(number).locator("summary").first.click()
    changed = [not one if number in (0, len(first) - 1) else one for number, one in enumerate(first)]
    window.page.wait_for_function(f"location.hash === '#parts=0,{len(first) - 1}'")  # both folds, one after the other

    address = window.page.url
    window.page.reload()
    assert parts.evaluate_all("all => all.map(one => one.open)") == changed
    window.go("/events")
    window.page.goto(address)
    assert parts.evaluate_all("all => all.map(one => one.open)") == changed
    for number in (0, len(first) - 1):
        parts.nth(number).locator("summary").first.click()
    window.page.wait_for_url(address.partition("#")[0])


def test_a_refresh_does_not_change_a_field_with_typed_text(open_window: Callable[..., Window]) -> None:
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


def test_a_hidden_tab_sends_no_requests(scene: Scene, chromium: "Browser") -> None:
    with contextlib.closing(Tabs(chromium)) as tabs:
        tab = tabs.open(scene.url + "/", session_cookie(scene.daemon.admin_port, scene.token))
        until(lambda: tab.evaluate(_ASKED) >= 2)

        other = tabs.open("about:blank")
        until(lambda: tab.evaluate("document.visibilityState") == "hidden")
        asked = tab.evaluate(f"{_LATER}.then(() => {_ASKED})")  # earlier requests have ended
        assert tab.evaluate(f"{_LATER}.then(() => {_ASKED})") == asked

        tab.bring_to_front()
        until(lambda: tab.evaluate(_ASKED) > asked)
        assert other.evaluate("document.visibilityState") == "hidden"


def test_a_view_shows_the_sign_in_page_after_the_end_of_its_session(
    scene: Scene, open_window: Callable[..., Window]
) -> None:
    window = open_window()
    window.go("/")
    other = window.page.context.new_page()
    other.goto(scene.url + "/")
    other.click(control("Sign out"))

    window.page.wait_for_selector("#token")
