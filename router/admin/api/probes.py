"""Probes and metrics: /-/healthy, /-/ready, /metrics."""

from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.replies import json_reply
from router.admin.daemon_handle import DaemonHandle
from router.domain.reply import Reply


def _healthy(_: DaemonHandle, __: Call) -> Reply:
    return json_reply({"healthy": True})


def _ready(daemon: DaemonHandle, _: Call) -> Reply:
    checks = dict(daemon.checks())
    return json_reply(checks, 200 if all(checks.values()) else 503)


def _metrics(daemon: DaemonHandle, call: Call) -> Reply:
    return daemon.metrics(call.accept)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/-/healthy",
        "Whether the process lives.",
        _healthy,
        {200: ResponseSpec("The process lives.", "Health")},
        parameters=None,
        is_open=True,
        limit=None,
    ),
    Endpoint(
        "GET",
        "/-/ready",
        "Whether events can be received and delivered: the store is writable, rules are loaded, the dispatcher lives,"
        " and the intake accepts requests. It refuses them while the daemon stops.",
        _ready,
        {200: ResponseSpec("All checks pass.", "Readiness"), 503: ResponseSpec("A check fails.", "Readiness")},
        parameters=None,
        is_open=True,
        limit=None,
    ),
    Endpoint(
        "GET",
        "/metrics",
        "Metrics, for Prometheus.",
        _metrics,
        {200: ResponseSpec("The metrics.", None, "text/plain")},
        parameters=None,
        is_open=True,
        limit="scrapes",
    ),
)
