"""For what watches the daemon: is it alive, is it ready, how much of what."""

from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.replies import answered
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply


def _healthy(_: DaemonHandle, __: Call) -> Reply:
    return answered({"healthy": True})


def _ready(daemon: DaemonHandle, _: Call) -> Reply:
    found = dict(daemon.checks())
    return answered(found, 200 if all(found.values()) else 503)


def _metrics(daemon: DaemonHandle, call: Call) -> Reply:
    return daemon.metrics(call.accept)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/-/healthy",
        "Whether the process lives.",
        _healthy,
        {200: ResponseSpec("It does.", "Health")},
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
        {200: ResponseSpec("All of it holds.", "Readiness"), 503: ResponseSpec("Something does not.", "Readiness")},
        parameters=None,
        is_open=True,
        places=None,
    ),
    Endpoint(
        "GET",
        "/metrics",
        "Metrics, for Prometheus.",
        _metrics,
        {200: ResponseSpec("The metrics.", None, "text/plain")},
        parameters=None,
        is_open=True,
        places="scrapes",
    ),
)
