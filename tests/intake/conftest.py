"""Fixtures with rules, a store and requests for the tests of the intake."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.reply import Reply
from router.http.contract import Pending, Request
from router.http.server import Server
from router.intake.receiver import Receiver
from router.rules.compile.loader import Loader
from router.rules.ruleset import CurrentRuleset
from router.runtime.wakeups import wake_up
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

NOW = 1_700_000_000_000


class WaitingReceiver(Receiver):
    """A receiver whose `receive` waits for the reply, as a server does."""

    def receive(self, request: Request, seconds: float = 10.0) -> Reply:
        """The reply to a request, or 503 when the commit takes longer than `seconds`."""
        reply = self.handle(request)
        return reply.reply(seconds) if isinstance(reply, Pending) else reply


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    store = open_store(tmp_path / "store.db")
    yield store
    store.close()


@pytest.fixture
def receiver(tmp_path: Path, store: SqliteStore) -> Callable[..., WaitingReceiver]:
    """Return a function that makes a receiver with rules."""

    def make(rules: str, **environ: str) -> WaitingReceiver:
        ruleset = Loader(REGISTRIES, environ).load(rules, "rules.yaml", tmp_path).require()
        store.put_ruleset(ruleset.text, 0).result(60)
        return WaitingReceiver(CurrentRuleset(ruleset), store, lambda: NOW)

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Return a function that runs a receiver on a free port."""
    servers: list[Server] = []

    def run(made: Receiver, **given: Any) -> Server:
        wired: dict[str, Any] = {"body_limit": made.body_limit, "answered": made.answered, "refusals": made.refusals}
        servers.append(Server(made.handle, "127.0.0.1", 0, wake_up=wake_up, **wired, **given))
        servers[-1].start()
        return servers[-1]

    yield run
    for server in servers:
        server.stop(5)


@pytest.fixture
def make_request() -> Callable[..., Request]:
    """Return a function that makes a request."""

    def make(body: bytes = b"{}", **given: Any) -> Request:
        defaults: dict[str, Any] = {
            "method": "POST",
            "path": "/hooks/open",
            "query": "",
            "headers": (("Content-Type", "application/json"),),
            "ip": "192.0.2.1",
        }
        return Request(body=body, **defaults | given)

    return make
