"""A real browser: the system's Chromium, driven by Playwright.

A test that lacks a program is skipped and names it. `.ci/browser` installs them all, and then no test may be skipped.
"""

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pytest

from tests.browser.scene import Scene
from tests.browser.window import Window, session_cookie
from tests.conftest import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

# No background traffic, no first-run pages, and no sandbox, since it refuses to run as root.
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_AXE = Path(sys.prefix) / "browser/node_modules/axe-core/axe.min.js"


def _lacks(reason: str) -> NoReturn:
    if os.environ.get("WEBHOOK_ROUTER_BROWSER") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _while_alone(fixture_name: str, config: pytest.Config) -> Literal["session", "module"]:
    """The scope of Chromium. Playwright keeps an event loop in this thread, and other tests start their own loops."""
    here = Path(__file__).parent
    alone = all((config.invocation_params.dir / one.partition("::")[0]).is_relative_to(here) for one in config.args)
    return "session" if alone else "module"


@pytest.fixture(scope=_while_alone)
def chromium() -> Iterator["Browser"]:
    """A running headless Chromium."""
    program = shutil.which("chromium")
    if program is None:
        _lacks("Chromium is not installed (Debian: apt-get install chromium)")
    if importlib.util.find_spec("playwright") is None:
        _lacks("Playwright is not installed (pip install '.[browser]')")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which finds accessibility problems."""
    if not _AXE.exists():
        _lacks(f"axe-core is not installed (npm install --prefix {_AXE.parents[2]} axe-core@4)")
    return _AXE.read_text()


@pytest.fixture(scope="module")
def scene(chromium: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A daemon without events. The test is skipped without a browser."""
    with contextlib.closing(Scene(tmp_path_factory.mktemp("scene"))) as made:
        yield made


def _context(browser: "Browser", scene: Scene, token: str | None, **options: Any) -> "BrowserContext":
    context = browser.new_context(**{"timezone_id": "UTC", "locale": "en-GB", **options})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    if token is not None:
        context.add_cookies([session_cookie(scene.daemon.admin_port, token)])
    return context


@pytest.fixture
def open_window(chromium: "Browser", scene: Scene) -> Iterator[Callable[..., Window]]:
    """Return a function that opens windows with separate cookies. At the end no window may have had troubles."""
    windows: list[Window] = []

    def begin(*, token: str | None = scene.token, others: str = "", **options: Any) -> Window:
        window = Window(_context(chromium, scene, token, **options).new_page(), scene.url, others)
        windows.append(window)
        return window

    yield begin
    for window in windows:
        window.page.context.close()
    assert [trouble for window in windows for trouble in window.troubles] == []


@pytest.fixture(scope="module")
def signed_in(chromium: "Browser", scene: Scene) -> Iterator["BrowserContext"]:
    """The cookies of a session. The windows of a module share them, since a sign-in takes a third of a second."""
    context = _context(chromium, scene, scene.token)
    yield context
    context.close()


@pytest.fixture
def window(signed_in: "BrowserContext", scene: Scene) -> Iterator[Window]:
    """A window signed in with the admin token."""
    window = Window(signed_in.new_page(), scene.url)
    yield window
    window.page.close()
    assert window.troubles == []
