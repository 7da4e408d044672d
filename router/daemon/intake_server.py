"""Makes the server of the intake: the router's own, or waitress."""

import socket

from router.daemon.fd_limit import grant
from router.daemon.settings import Settings
from router.http.certificate import Certificate
from router.http.server import Server
from router.http.waitress_server import WaitressServer
from router.http.wsgi import WsgiApp
from router.intake.receiver import Receiver
from router.rules.ruleset import Ruleset
from router.runtime.wakeups import wake_up

#: on servers where a request holds a thread: threads that may wait for an action's answer; the others stay free
THREADS_THAT_WAIT = 8
#: each thread waits with one request for a commit; with 8 threads it collapses under 1,000 connections
_WAITRESS_THREADS = 32

IntakeServer = Server | WaitressServer
"""Of the daemon's own process. `router/daemon/processes/` has the other."""


def intake_server(
    settings: Settings, receiver: Receiver, ruleset: Ruleset, certificate: Certificate | None
) -> IntakeServer:
    """Make the server, and bind the listen address. `ruleset`: the rules at the start. Raises StartError."""
    connections = grant(settings.max_connections)
    if settings.server == "waitress":
        return _waitress(settings, receiver, ruleset, connections)
    return own_server(settings, receiver, certificate, connections)


def own_server(
    settings: Settings,
    receiver: Receiver,
    certificate: Certificate | None,
    connections: int,
    shared: socket.socket | None = None,
) -> Server:
    """The router's own server, on a socket of its own or one that is shared. Raises StartError."""
    return Server(
        receiver.handle,
        settings.listen.host,
        settings.listen.port,
        body_limit=receiver.body_limit,
        answered=receiver.answered,
        refusals=receiver.refusals,
        wake_up=wake_up,
        connections=connections,
        request_seconds=settings.request_timeout,
        tls=certificate,
        shared=shared,
    )


def _waitress(settings: Settings, receiver: Receiver, ruleset: Ruleset, connections: int) -> WaitressServer:
    app = WsgiApp(
        receiver.handle,
        body_limit=receiver.body_limit,
        answered=receiver.answered,
        refusals=receiver.refusals,
    )
    return WaitressServer(
        app,
        settings.listen.host,
        settings.listen.port,
        threads=_WAITRESS_THREADS,
        connections=connections,
        # One limit for all paths, which the application narrows. waitress can change it only by a restart.
        largest_body=max((source.max_body for source in ruleset.sources.values()), default=0),
        request_seconds=settings.request_timeout,
    )
