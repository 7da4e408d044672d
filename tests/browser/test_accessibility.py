"""People who see little, use a keyboard or listen to the page can use every view: axe-core finds nothing wrong."""

from typing import Any

import pytest

from tests.browser.scene import Scene
from tests.browser.window import Window

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SHOWN: list[tuple[int, Any]] = [(1280, "light"), (360, "dark")]  #: width and colours
_RUN = """async tags => {
  const found = await axe.run(document, {runOnly: tags, resultTypes: ["violations"]});
  return found.violations.flatMap(one => one.nodes.map(node => `${one.id}: ${node.html}: ${node.failureSummary}`));
}"""


@pytest.fixture(scope="module")
def views(scene: Scene) -> dict[str, str]:
    """The address of each view, with something in it."""
    pushed, unpaid, other = scene.push(), scene.invoice(), scene.push(branch="feature/x")
    delivered, dead = scene.settled(pushed)[0]["id"], scene.settled(unpaid)[0]["id"]
    return {
        "overview": "/",
        "events": "/events",
        "no events": "/events?source=github&rule=none",
        "event": f"/events/{pushed}",
        "unmatched event": f"/events/{other}",
        "deliveries": "/deliveries?state=dead",
        "no deliveries": "/deliveries?target=none",
        "delivery": f"/deliveries/{delivered}",
        "dead delivery": f"/deliveries/{dead}",
        "targets": "/targets",
        "rules": "/rules",
        "try": "/try",
        "not here": "/events/none",
    }


def problems(window: Window, axe: str, path: str) -> list[str]:
    """What axe finds wrong in a view, wide and light, then narrow and dark."""
    window.go(path)
    window.page.evaluate(axe)
    found = []
    for width, scheme in SHOWN:
        window.page.set_viewport_size({"width": width, "height": 800})
        window.page.emulate_media(color_scheme=scheme)
        found += [f"{path} {width} px, {scheme}: {one}" for one in window.page.evaluate(_RUN, RULES)]
    return found


def test_axe_finds_nothing_wrong_in_any_view(window: Window, axe: str, views: dict[str, str]) -> None:
    found = [problem for path in views.values() for problem in problems(window, axe, path)]

    assert found == [], "\n".join(found)
