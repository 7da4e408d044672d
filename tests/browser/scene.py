"""The daemon, the targets and the events of a small shop, which the tests open in the browser."""

import contextlib
import json
import pty
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.conftest import Daemon, Receiver, request, until

TOKEN = "a-token-for-the-tests-0123456789"
READ_TOKEN = "a-token-that-may-only-read-012345"
RULES = """\
version: 1
sources:
  github: {{verify: none}}
  stripe: {{verify: none}}
targets:
  ci: {{url: "{ci}", concurrency: 4, rate: 50/s}}
  billing: {{url: "{billing}", concurrency: 2}}
rules:
  - name: deploy-main
    source: github
    match:
      headers.X-GitHub-Event: push
      $.ref: refs/heads/main
      $.repository.full_name: [acme/api, acme/web]
    actions:
      - forward: {{target: ci, path: /build}}
      - append: deploys.jsonl
  - name: invoices
    source: stripe
    match: {{$.type: {{prefix: invoice.}}}}
    actions:
      - {{name: book, forward: {{target: billing}}, retry: {{attempts: 1}}}}
"""


class AtTerminal(Daemon):
    """A daemon that logs to a terminal, so that it prints the link to its page."""

    def _open_log(self) -> tuple[int, int]:
        return pty.openpty()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the daemon has ended
            super()._read()
        with self._changed:
            self._changed.notify_all()


class Scene:
    """A daemon with two targets: `ci` answers 200, and `billing` answers 500 until a test changes that."""

    def __init__(self, folder: Path, rules: str = RULES, before: Callable[[Path, Path], None] | None = None):
        """Start the daemon. First call `before` with the paths of its store and its rules."""
        self.token, self.read_token = TOKEN, READ_TOKEN
        self.ci, self.billing = Receiver(), Receiver(status=500)
        with contextlib.ExitStack() as started:
            for target in (self.ci, self.billing):
                target.start()
                started.callback(target.stop)
            self.rules = folder / "rules.yaml"
            self.rules.write_text(rules.format(ci=self.ci.url, billing=self.billing.url))
            if before is not None:
                before(folder / "webhook-router.db", self.rules)
            self.daemon = AtTerminal(folder, self.rules, flags=tuple(self._tokens(folder)))
            started.callback(self.daemon.kill)
            self._started = started.pop_all()
        self.url = f"http://127.0.0.1:{self.daemon.admin_port}"

    def _tokens(self, folder: Path) -> Iterator[str]:
        for flag, token in (("--admin-token-file", self.token), ("--admin-read-token-file", self.read_token)):
            path = folder / f"{flag.strip('-')}.txt"
            path.write_text(token)
            path.chmod(0o600)
            yield from (flag, str(path))

    def link(self) -> str:
        """The link that the daemon printed."""
        printed = str(self.daemon.wait_for_line("not JSON")["raw"])
        found = re.fullmatch(r"The page: (\S+) \(once, within 10 minutes\)\s*", printed)
        assert found, printed
        return found[1]

    def close(self) -> None:
        """Stop the daemon and its targets."""
        self._started.close()

    def send(self, source: str, payload: Any, headers: Mapping[str, str] | None = None) -> str:
        """Send a webhook. Return the event's id."""
        answer = self.daemon.post(f"/hooks/{source}", json.dumps(payload).encode(), headers)
        assert answer.status == 202, answer.body
        event: str = answer.json["id"]
        return event

    def push(self, repository: str = "acme/api", branch: str = "main") -> str:
        """Send a push."""
        payload = {
            "ref": f"refs/heads/{branch}",
            "after": "4b825dc6",
            "repository": {"id": 1234567890123456789012, "full_name": repository},
            "pusher": {"name": "ann"},
        }
        return self.send("github", payload, {"X-GitHub-Event": "push"})

    def invoice(self, amount: str = "19.90") -> str:
        """Send a paid invoice."""
        return self.send("stripe", {"type": "invoice.paid", "data": {"amount": amount, "currency": "eur"}})

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        """Ask the API. Return its answer."""
        headers = {"Authorization": f"Bearer {self.token}"}
        body = b"" if content is None else json.dumps(content).encode()
        answer = request(self.daemon.admin_port, method, path, body, headers)
        assert answer.status == 200, answer.body
        return answer.json

    def deliveries(self, **query: str) -> list[dict[str, Any]]:
        """The deliveries that a filter of the API finds."""
        listed: list[dict[str, Any]] = self.ask("GET", f"/api/deliveries?{urlencode(query)}")["items"]
        return listed

    def settled(self, event: str) -> list[dict[str, Any]]:
        """Wait until all deliveries of an event have ended. Return them."""

        def ended() -> list[dict[str, Any]]:
            found = self.deliveries(event=event)
            return found if found and all(one["state"] not in ("pending", "running") for one in found) else []

        found: list[dict[str, Any]] = until(ended)
        return found
