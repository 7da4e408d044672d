"""Every view, empty and full, fits into a narrow and a wide window, light and dark.

With `WEBHOOK_ROUTER_SCREENSHOTS=docs/images` the pictures that stand in that folder are taken again; an empty folder gets all.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import history
from tests.browser.scene import Scene
from tests.browser.window import Window, session_cookie
from tests.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = os.environ.get("WEBHOOK_ROUTER_SCREENSHOTS")
SIZES = {"wide": (1280, 800), "narrow": (360, 740)}


@pytest.fixture(scope="module")
def scene(chromium: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A shop after a day: some payments are dead, one target is paused, one payment waits for its next try."""

    def before(store: Path, rules: Path) -> None:
        history.write_day(store, rules, time.time_ns() // 1_000_000)

    with contextlib.closing(Scene(tmp_path_factory.mktemp("shop"), history.RULES, before)) as made:
        made.ask("POST", "/api/targets/search/pause", {})
        made.send("forms", {"form": "product", "sku": "A-1"})
        made.send("stripe", {"type": "invoice.paid", "data": {"amount": 31, "currency": "eur"}})
        until(lambda: [one["attempts"] for one in made.deliveries(target="billing", state="pending")] == [1])
        yield made


def picture(window: Window, name: str) -> None:
    """Look at the shown view in each size, light and dark; keep the pictures if a folder for them is given."""
    for size, (width, height) in SIZES.items():
        window.page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            window.page.emulate_media(color_scheme=scheme)
            assert window.overflow() == 0, f"{name} {size}"
            keep(window, f"page-{name}-{size}-{scheme}.png")


def keep(window: Window, name: str) -> None:
    """Write the picture, where the folder wants it."""
    if FOLDER is None:
        return
    there = [one.name for one in Path(FOLDER).glob("page-*.png")] if Path(FOLDER).name == "images" else []
    if not there or name in there:
        window.page.screenshot(path=Path(FOLDER) / name, full_page=not there)


def test_a_full_page(scene: Scene, window: Window) -> None:
    dead = scene.deliveries(state="dead")[0]
    waiting = scene.deliveries(target="billing", state="pending")[0]
    deployed = scene.deliveries(rule="deploy-main")[0]
    views = {
        "overview": "/",
        "events": "/events",
        "event": f"/events/{deployed['event']}",
        "deliveries": "/deliveries",
        "delivery-dead": f"/deliveries/{dead['id']}",
        "delivery-waits": f"/deliveries/{waiting['id']}",
        "targets": "/targets",
        "rules": "/rules",
    }
    for name, path in views.items():
        window.go(path)
        picture(window, name)

    window.go("/rules/try")
    window.page.fill(
        "#text", window.page.input_value("#text").replace("$.data.amount: {gte: 1}", "$.data.amount: {gte: 50}")
    )
    window.page.click("text=Check and compare")
    picture(window, "change")
    window.go("/try")
    window.page.select_option("[name=source]", "stripe")
    window.page.fill("#payload", '{"type": "invoice.paid", "data": {"amount": 31, "currency": "eur"}}')
    window.page.click("main button:text('Try')")
    picture(window, "try")


def test_an_empty_page(open_window: Callable[..., Window], chromium: "Browser", tmp_path: Path) -> None:
    with contextlib.closing(Scene(tmp_path)) as scene:
        window = open_window(token=None)
        window.url = scene.url
        window.go("/")
        picture(window, "sign-in")
        window.page.context.add_cookies([session_cookie(scene.daemon.admin_port, scene.token)])
        for name in ("overview", "events", "deliveries", "targets"):
            window.go("/" if name == "overview" else f"/{name}")
            picture(window, f"empty-{name}")
