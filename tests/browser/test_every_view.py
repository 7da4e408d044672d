"""Every view of the page is accessible: with and without content, and after refused and successful actions.

axe-core finds no problem in wide and narrow windows, light and dark. A view fits into its window, also enlarged to
400 %, respects the operator's own colours, and has no animation.
With `WEBHOOK_ROUTER_SCREENSHOTS=docs/images` the pictures in that folder are taken again. An empty folder gets all.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from router.admin.page.views import VIEWS
from tests.browser import history, views
from tests.browser.scene import Scene
from tests.browser.views import Shown
from tests.browser.window import Window, session_cookie
from tests.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Open = Callable[..., Window]
FOLDER = os.environ.get("WEBHOOK_ROUTER_SCREENSHOTS")
ALL = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
_COLOURS, _SIZES = ["color-contrast", "link-in-text-block"], ["target-size", "scrollable-region-focusable"]
Look = tuple[str, Any, dict[str, Any]]
LOOKS: list[Look] = [
    ("wide", "light", ALL),
    ("wide", "dark", {"runOnly": _COLOURS}),
    ("narrow", "dark", {"runOnly": _COLOURS + _SIZES}),
    ("narrow", "light", {"runOnly": _COLOURS}),
]
"""Size, colours, and which rules of axe may find something there that they have not found before."""

SIZES = {"wide": (1280, 800), "narrow": (360, 740)}
ENLARGED = (640, 320)  #: the widths of a window of 1,280 pixels that is enlarged to 200 % or 400 %
_RUN = """async ([where, options]) => {
  const found = await axe.run(where, {...options, resultTypes: ["violations"], preload: false});
  return found.violations.flatMap(one => one.nodes.map(node => `${one.id}: ${node.html}: ${node.failureSummary}`));
}"""
# Marks of the current place that vanish if the browser paints every background in the operator's own colour.
_WHERE = """() => [...document.querySelectorAll("nav [aria-current], .switch [aria-current]")].filter(e => {
  const look = one => { const s = getComputedStyle(one); return s.borderBottomColor + s.textDecorationLine + s.fontWeight; };
  const other = [...e.parentElement.children].find(one => one !== e && !one.matches(".name"));
  return look(e) === look(other);
}).map(e => e.textContent)"""


@pytest.fixture(scope="module")
def scene(chromium: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A shop after a day: some payments are dead, a target is paused, and a payment waits for its next try."""

    def before(store: Path, rules: Path) -> None:
        history.write_day(store, rules, time.time_ns() // 1_000_000)

    with contextlib.closing(Scene(tmp_path_factory.mktemp("shop"), history.RULES, before)) as made:
        made.ask("POST", "/api/targets/search/pause", {})
        made.send("forms", {"form": "product", "sku": "A-1"})
        made.send("stripe", {"type": "invoice.paid", "data": {"amount": 31, "currency": "eur"}})
        until(lambda: [one["attempts"] for one in made.deliveries(target="billing", state="pending")] == [1])
        yield made


def problems(window: Window, shown: Shown, looks: Sequence[Look]) -> Iterator[str]:
    """The problems of a view in each window size and colour scheme."""
    for number, (size, scheme, rules) in enumerate(looks):
        window.look(*SIZES[size], scheme)
        if number == 0:
            shown.open(window)
            window.page.evaluate("loadAxe()")
        where = "body" if number == 0 else "dialog[open]" if window.page.locator("dialog[open]").count() else "main"
        for one in window.page.evaluate(_RUN, [where, rules]):
            yield f"{shown.name} {size} {scheme}: {one}"
        if window.overflow():
            yield f"{shown.name} {size}: wider than its window"
        keep(window, f"page-{shown.name}-{size}-{scheme}.png")
    window.page.emulate_media(forced_colors="active")
    for width in ENLARGED:
        window.page.set_viewport_size({"width": width, "height": 400})
        if window.overflow():
            yield f"{shown.name}: wider than {width} pixels"
    if window.page.evaluate("document.getAnimations().length"):
        yield f"{shown.name}: moves"
    for one in window.page.evaluate(_WHERE):
        yield f"{shown.name}: {one!r} is not marked in the operator's own colours"
    window.page.emulate_media(forced_colors="none")


def keep(window: Window, name: str) -> None:
    """Write the picture of a view if the folder should have it."""
    if FOLDER is None:
        return
    there = [one.name for one in Path(FOLDER).glob("page-*.png")] if Path(FOLDER).name == "images" else []
    if not there or name in there:
        window.page.screenshot(path=Path(FOLDER) / name, full_page=not there)


def walk(window: Window, axe: str, shown: Iterable[Shown], looks: Sequence[Look] = LOOKS) -> None:
    """Check each view, then fail with all problems."""
    window.page.add_init_script(f"globalThis.loadAxe = () => {{ {axe} }};")
    found = [problem for one in shown for problem in problems(window, one, looks)]
    assert found == [], "\n".join(found)


def test_every_view_of_a_shop_is_accessible(scene: Scene, window: Window, axe: str) -> None:
    walk(window, axe, views.full(scene))

    asked = {one.partition("?")[0] for one in window.requested}
    missed = [f"{method} {view.path}" for view in VIEWS for method in view.methods
              if view.path not in DOWNLOADS and not any(view.pattern.fullmatch(one.partition(" ")[2]) and one.startswith(method) for one in asked)]  # fmt: skip
    assert missed == []  # add a new view to tests/browser/views.py


DOWNLOADS = {"/events/{id}/copy/{form}", "/events/{id}/body", "/rules/try/download"}
"""What is saved as a file, and never shown."""


def test_every_view_without_events_is_accessible(
    open_window: Open, chromium: "Browser", axe: str, tmp_path: Path
) -> None:
    with contextlib.closing(Scene(tmp_path)) as scene:
        window = open_window(token=None)
        window.url = scene.url
        window.page.context.add_cookies([session_cookie(scene.daemon.admin_port, scene.token)])
        walk(window, axe, views.empty())


def test_every_view_of_the_read_only_token_is_accessible(scene: Scene, open_window: Open, axe: str) -> None:
    # These views have fewer controls than an operator's, in the same colours.
    walk(open_window(token=scene.read_token), axe, views.read_only(scene), LOOKS[::2])


def test_the_sign_in_page_is_accessible(open_window: Open, axe: str) -> None:
    walk(open_window(token=None), axe, views.signed_out())
