"""For what watches the daemon: is it alive, is it ready, how much of what."""

from router.admin.answers import answered
from router.admin.daemon import Daemon
from router.admin.endpoint import Answer, Call, Endpoint
from router.model import Reply


def _healthy(_: Daemon, __: Call) -> Reply:
    return answered({"healthy": True})


def _ready(daemon: Daemon, _: Call) -> Reply:
    found = dict(daemon.checks())
    return answered(found, 200 if all(found.values()) else 503)


def _metrics(daemon: Daemon, call: Call) -> Reply:
    return daemon.metrics(call.accept)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/-/healthy",
        "Whether the process lives.",
        _healthy,
        {200: Answer("It does.", "Health")},
        parameters=None,
        is_open=True,
        places=None,
    ),
    Endpoint(
        "GET",
        "/-/ready",
        "Whether events can be taken and delivered: the store is writable, rules are loaded, the dispatcher lives, the"
        " intake takes requests, which it does not while the daemon stops.",
        _ready,
        {200: Answer("All of it holds.", "Readiness"), 503: Answer("Something does not.", "Readiness")},
        parameters=None,
        is_open=True,
        places=None,
    ),
    Endpoint(
        "GET",
        "/metrics",
        "Metrics, for Prometheus.",
        _metrics,
        {200: Answer("The metrics.", None, "text/plain")},
        parameters=None,
        is_open=True,
        places="scrapes",
    ),
)
