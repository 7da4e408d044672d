"""Browser tabs that hide each other. Playwright treats all its pages as visible, so these are opened without it."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

# Timers of a view run fifty times as fast.
_QUICKLY = "{ const real = setTimeout; globalThis.setTimeout = (run, ms, ...rest) => real(run, ms / 50, ...rest); }"


@dataclass
class Tab:
    """A tab, controlled by the DevTools protocol."""

    browser: "CDPSession"
    target: str
    session: str
    answers: dict[int, Any] = field(default_factory=dict)
    asked: int = 0

    def ask(self, method: str, **given: Any) -> Any:
        """Send a command and wait for its result."""
        self.asked += 1
        number = self.asked
        message = json.dumps({"id": number, "method": method, "params": given})
        self.browser.send("Target.sendMessageToTarget", {"sessionId": self.session, "message": message})

        def answered() -> bool:
            self.browser.send("Browser.getVersion")  # Playwright delivers messages while it waits
            return number in self.answers

        until(answered)
        answer = self.answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """The value of an expression."""
        result = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def bring_to_front(self) -> None:
        """Show this tab."""
        self.browser.send("Target.activateTarget", {"targetId": self.target})


class Tabs:
    """The tabs of one window."""

    def __init__(self, chromium: "Browser"):
        self._browser = chromium.new_browser_cdp_session()
        self._browser.on("Target.receivedMessageFromTarget", self._on_message)
        self._tabs: dict[str, Tab] = {}

    def open(self, address: str, cookie: dict[str, Any] | None = None) -> Tab:
        """Open a tab with fast timers in front of the others."""
        target = self._browser.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self._browser.send("Target.attachToTarget", {"targetId": target, "flatten": False})["sessionId"]
        tab = self._tabs[session] = Tab(self._browser, target, session)
        if cookie is not None:
            self._browser.send("Storage.setCookies", {"cookies": [cookie]})
        tab.ask("Page.enable")
        tab.ask("Page.addScriptToEvaluateOnNewDocument", source=_QUICKLY)
        tab.ask("Page.navigate", url=address)
        self._browser.send("Target.activateTarget", {"targetId": target})
        return tab

    def close(self) -> None:
        """Close the tabs."""
        self._browser.send("Storage.clearCookies")
        for tab in self._tabs.values():
            self._browser.send("Target.closeTarget", {"targetId": tab.target})
        self._browser.detach()

    def _on_message(self, event: Any) -> None:
        message, tab = json.loads(event["message"]), self._tabs.get(event["sessionId"])
        if tab is not None and "id" in message:
            tab.answers[message["id"]] = message
