"""Every server over the same handler."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from router.http.contract import Handler
from router.http.server import Server
from router.http.waitress_server import WaitressServer
from router.http.wsgi import wsgi_app

Serve = Callable[..., Any]
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def on_waitress(handler: Handler, **given: Any) -> WaitressServer:
    """The handler as a WSGI application on waitress."""
    of_app = {name: given.pop(name) for name in ("body_limit", "answered", "answer_seconds") if name in given}
    of_app.setdefault("body_limit", lambda _: 1024 * 1024)
    settings = {"threads": 8, "connections": 1000, "largest_body": 1 << 24, **given}
    return WaitressServer(wsgi_app(handler, **of_app), "127.0.0.1", 0, **settings)


def _running(kind: str) -> Iterator[Serve]:
    servers: list[Any] = []

    def run(handler: Handler, **given: Any) -> Any:
        if kind == "waitress":
            servers.append(on_waitress(handler, **given))
        else:
            servers.append(Server(handler, "127.0.0.1", 0, new_loop=LOOPS[kind], **given))
        servers[-1].start()
        return servers[-1]

    yield run
    for server in servers:
        server.stop(5)


@pytest.fixture(params=["asyncio", "uvloop", "waitress"])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Run a handler on a free port, on every server there is."""
    yield from _running(request.param)


@pytest.fixture(params=["asyncio", "uvloop"])
def own(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Run a handler on a free port, on our own server only: waitress is excepted in docs/security.md."""
    yield from _running(request.param)


@pytest.fixture
def waitress() -> Iterator[Serve]:
    """Run a handler on waitress only."""
    yield from _running("waitress")
