"""A view that can't be refreshed says so."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.scene import Scene
from tests.browser.window import Window, session_cookie

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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
