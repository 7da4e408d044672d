"""Fixtures that run a handler on each HTTP server."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from router.http.certificate import Certificate
from router.http.contract import Handler
from router.http.server import Server
from router.http.waitress_server import WaitressServer
from router.http.wsgi import WsgiApp
from tests.http.authority import Authority
from tests.http.talking import TLS_PORTS

Serve = Callable[..., Any]
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def on_waitress(handler: Handler, **given: Any) -> WaitressServer:
    """Run the handler as a WSGI application on waitress."""
    of_app = {name: given.pop(name) for name in ("body_limit", "answered", "answer_seconds") if name in given}
    of_app.setdefault("body_limit", lambda _: 1024 * 1024)
    settings = {"threads": 8, "connections": 1000, "largest_body": 1 << 24, **given}
    return WaitressServer(WsgiApp(handler, **of_app), "127.0.0.1", 0, **settings)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that signs the certificates of a test run."""
    return Authority(tmp_path_factory.mktemp("authority"))


def _running(kind: str, authority: Authority) -> Iterator[Serve]:
    servers: list[Any] = []

    def run(handler: Handler, **given: Any) -> Any:
        if kind == "waitress":
            servers.append(on_waitress(handler, **given))
        elif kind == "tls":
            servers.append(Server(handler, "127.0.0.1", 0, tls=Certificate(authority.issue()), **given))
            TLS_PORTS[servers[-1].port] = authority.client()
        else:
            servers.append(Server(handler, "127.0.0.1", 0, new_loop=LOOPS[kind], **given))
        servers[-1].start()
        return servers[-1]

    yield run
    for server in servers:
        server.stop(5)
        TLS_PORTS.pop(server.port, None)


@pytest.fixture(params=["asyncio", "uvloop", "tls", "waitress"])
def serve(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Serve]:
    """Return a function that runs a handler on a free port. The test runs once for each server."""
    yield from _running(request.param, authority)


@pytest.fixture(params=["asyncio", "uvloop", "tls"])
def own(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Serve]:
    """Return a function that runs a handler on our own server, since docs/security.md excepts waitress."""
    yield from _running(request.param, authority)


@pytest.fixture(params=["asyncio", "uvloop"])
def plain(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Serve]:
    """Return a function that runs a handler on our own server without TLS."""
    yield from _running(request.param, authority)


@pytest.fixture
def waitress(authority: Authority) -> Iterator[Serve]:
    """Return a function that runs a handler on waitress."""
    yield from _running("waitress", authority)
