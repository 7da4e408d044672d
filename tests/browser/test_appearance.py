"""The page is usable enlarged, with colours of the operator's choice, and without movement."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.scene import Scene
from tests.browser.window import Window, session_cookie

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# Signs of where one is that are gone where a browser paints every background in the operator's own colour.
_WHERE = """() => [...document.querySelectorAll("nav [aria-current], .switch [aria-current]")].filter(e => {
  const look = one => { const s = getComputedStyle(one); return s.borderBottomColor + s.textDecorationLine + s.fontWeight; };
  const other = [...e.parentElement.children].find(one => one !== e && !one.matches(".name"));
  return look(e) === look(other);
}).map(e => e.textContent)"""


@pytest.fixture(scope="module")
def views(scene: Scene) -> list[str]:
    """The address of each view, with something in it."""
    pushed, dead = scene.push(), scene.settled(scene.invoice())[0]["id"]
    scene.settled(pushed)
    lists = ["/", "/events", "/deliveries", "/targets", "/rules", "/rules/try", "/try"]
    return [*lists, f"/events/{pushed}", f"/events/{pushed}/copy", f"/deliveries/{dead}"]


def test_a_view_fits_enlarged_and_in_dark_colours_and_does_not_shift(window: Window, views: list[str]) -> None:
    window.page.emulate_media(forced_colors="active")
    for path in views:
        window.go(path)
        for width in (640, 320):  # what 1,280 pixels hold when each is two or four wide
            window.page.set_viewport_size({"width": width, "height": 400})
            assert window.overflow() == 0, f"{path} {width} px"
        assert window.page.evaluate("document.getAnimations().length") == 0, path
        assert window.page.evaluate(_WHERE) == [], path


def test_a_view_says_that_it_is_old_while_the_daemon_is_away(
    open_window: Callable[..., Window], chromium: "Browser", tmp_path: Path
) -> None:
    with contextlib.closing(Scene(tmp_path)) as scene:
        window = open_window(token=None)
        window.page.context.add_cookies([session_cookie(scene.daemon.admin_port, scene.token)])
        window.url = scene.url
        window.go("/events")

        scene.daemon.kill()

        window.page.wait_for_selector("[role=status]:has-text('The daemon does not answer')")
    window.troubles = [trouble for trouble in window.troubles if "net::ERR_" not in trouble]
