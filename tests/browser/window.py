"""A window of the browser, and its troubles."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from tests.conftest import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Dialog, Page, Request

_ANSWERED = "Failed to load resource: the server responded with a status of"  #: pages that refuse with an explanation
_SUBMIT = """([address, fields]) => {
  const form = document.createElement("form"), csrf = document.querySelector("[name=csrf]")?.value ?? "";
  form.method = "post";
  form.action = address;
  for (const [name, value] of Object.entries({csrf, ...fields})) {
    form.append(Object.assign(document.createElement("input"), {type: "hidden", name, value}));
  }
  document.body.append(form);
  form.submit();
}"""


def control(text: str) -> str:
    """A selector of the control with exactly this text. An id or a hash on the page may contain the text."""
    return f":is(a, button, label, summary):text-is({json.dumps(text, ensure_ascii=False)})"


@dataclass
class Window:
    """A page that notes troubles: dialogs, script errors, policy violations and requests to other hosts."""

    page: "Page"
    url: str  #: the address of the daemon's page
    others: str = ""  #: beginnings of other addresses that may be requested
    troubles: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)  #: "METHOD /path?query" of each request

    def __post_init__(self) -> None:
        self.page.on("dialog", self._on_dialog)
        self.page.on("request", self._on_request)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))

    def _on_dialog(self, dialog: "Dialog") -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, request: "Request") -> None:
        if request.url.startswith(self.url + "/"):
            self.requested.append(f"{request.method} {request.url.removeprefix(self.url)}")
        elif not (self.others and request.url.startswith(self.others)):
            self.troubles.append(f"request to elsewhere: {request.method} {request.url}")

    def _on_console(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_ANSWERED):
            self.troubles.append(f"console: {message.text}")

    def go(self, path: str) -> None:
        """Open a path of the daemon's page."""
        self.page.goto(self.url + path)

    def look(self, width: int, height: int, scheme: Literal["light", "dark"]) -> None:
        """Set the size of the window and the colour scheme."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme=scheme)

    def main(self) -> str:
        """The text of the view."""
        text: str = self.page.inner_text("main")
        return text

    def follow(self, selector: str) -> None:
        """Click on a link or button that opens another page, and wait until that page is loaded."""
        with self.page.expect_navigation():
            self.page.click(selector)

    def submit(self, address: str, fields: Mapping[str, str]) -> None:
        """Send a form from the shown page, with its session's secret unless the fields have one."""
        with self.page.expect_navigation():
            self.page.evaluate(_SUBMIT, [address, dict(fields)])

    def press(self, *keys: str) -> None:
        """Type keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def focused(self) -> str:
        """The focused element's name for screen readers."""
        text: str = self.page.evaluate(
            "() => { const e = document.activeElement;"
            " return (e.getAttribute('aria-label') || e.labels?.[0]?.firstChild.textContent || e.textContent || e.id).trim(); }"
        )
        return text

    def overflow(self) -> int:
        """The number of pixels by which the page is wider than the window."""
        wide: int = self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide


def session_cookie(port: int, token: str) -> Any:
    """The cookie of a new session for Playwright."""
    host = f"127.0.0.1:{port}"
    connection = http.client.HTTPConnection(host, timeout=PATIENCE_SECONDS)
    try:
        headers = {"Origin": f"http://{host}", "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/sign-in", urlencode({"token": token}), headers)
        name, _, value = connection.getresponse().headers["Set-Cookie"].partition(";")[0].partition("=")
    finally:
        connection.close()
    return {"name": name, "value": value, "url": f"http://{host}", "httpOnly": True, "sameSite": "Strict"}
