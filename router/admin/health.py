"""The admin listener: is it alive, is it ready."""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import falcon

from router.intake.reply import accepted, problem
from router.intake.resource import answer, sink_app
from router.model import Reply

Checks = Callable[[], Mapping[str, bool]]
Scrape = Callable[[str], Reply]
"""From the Accept header to the metrics."""


def health_app(checks: Checks, host: str, scrape: Scrape | None = None) -> "falcon.App[Any, Any]":
    """GET /-/healthy: 200 while the process lives. GET /-/ready: 200, or 503 with what is not ready. GET /metrics.

    The Host header has to name this machine: a page in somebody's browser can reach loopback under a name of its own.
    """

    def serve(request: falcon.Request, response: falcon.Response, **_: Any) -> None:
        answer(response, _reply(request, checks, host, scrape))

    return sink_app(serve)


def _reply(request: falcon.Request, checks: Checks, host: str, scrape: Scrape | None) -> Reply:
    if not _host_is_ours(request.get_header("Host") or "", host):
        return problem(421, "the Host header names another server; use the admin listener's own address")
    metrics = scrape if request.path == "/metrics" else None
    if request.path not in ("/-/healthy", "/-/ready") and metrics is None:
        return problem(404, "there are /-/healthy, /-/ready and /metrics")
    if request.method not in ("GET", "HEAD"):
        return problem(405, "use GET", ("Allow", "GET, HEAD"))
    if metrics is not None:
        return metrics(request.get_header("Accept") or "")
    if request.path == "/-/healthy":
        return accepted(200, {"healthy": True})
    found = dict(checks())
    return accepted(200 if all(found.values()) else 503, found)


def _host_is_ours(header: str, host: str) -> bool:
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
    name = name.strip("[]").lower()
    if name in ("localhost", host.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True  # a literal address is nobody's name, and that it is this machine's the connection has shown
