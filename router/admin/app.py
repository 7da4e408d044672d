"""The Falcon application of the admin listener: checks access, finds the endpoint, reads the request, runs it."""

from collections.abc import Callable, Mapping
from typing import Any

import falcon
import structlog

from router.admin.api.bodies import read_json
from router.admin.api.endpoint import Call, Endpoint
from router.admin.api.parameters import read_query
from router.admin.api.replies import problem_reply
from router.admin.api.routes import find, needs_token
from router.admin.auth.access import AccessCheck
from router.admin.concurrency_limit import ConcurrencyLimit
from router.admin.daemon_handle import DaemonHandle
from router.admin.page.site import Site
from router.admin.reading import EndpointReading
from router.admin.sink import sink_app, write_reply
from router.domain.errors import StoreError
from router.domain.reply import Reply
from router.runtime.short_turns import SHORT_TURNS

AT_ONCE, WAITING = 4, 4  #: requests on the store that run at once, and that wait
SCRAPES, SCRAPES_WAITING = 2, 2  #: the same for GET /metrics, which takes long with many targets
WAIT_SECONDS = 2.0  #: how long a request waits for its turn
# Some threads are left for the probes: a supervisor would kill a daemon whose probes time out.
THREADS = AT_ONCE + WAITING + SCRAPES + SCRAPES_WAITING + 4  #: of the listener
CONNECTIONS = 128  #: open at once: operators, probes and scrapes are few

log = structlog.get_logger()


def admin_app(daemon: DaemonHandle, access: AccessCheck, site: Site | None = None) -> "falcon.App[Any, Any]":
    """The WSGI application; `site` is the operator's page."""
    site = site or Site(daemon, access)
    limits = {"store": ConcurrencyLimit(AT_ONCE, WAITING), "scrapes": ConcurrencyLimit(SCRAPES, SCRAPES_WAITING)}

    def serve(request: falcon.Request, response: falcon.Response, **_: Any) -> None:
        # Set first, so that the reply to an unexpected error has these headers too.
        response.set_header("Cache-Control", "no-store")
        response.set_header("X-Content-Type-Options", "nosniff")
        with SHORT_TURNS:
            write_reply(response, _reply(request, daemon, access, site, limits))

    return sink_app(serve)


def _reply(
    request: falcon.Request,
    daemon: DaemonHandle,
    access: AccessCheck,
    site: Site,
    limits: Mapping[str, ConcurrencyLimit],
) -> Reply:
    headers = _headers(request)
    # Repeated headers are joined, so two Host headers match no allowed name.
    joined = {name: ", ".join(values) for name, values in headers.items()}
    refusal = access.check_host(joined)
    if refusal is not None:
        return refusal
    path = _path(request)
    if site.has(path):
        return site.reply(request, path, lambda run: _limited(limits["store"], run, site.busy))
    refusal = access.check_origin(joined)
    if refusal is not None:
        return refusal
    found = find(request.method, path)
    if isinstance(found, Reply) and found.status == 404 and _reads_pages(request, path):
        return site.lost()
    if access.closed or needs_token(found, path):
        acts = not isinstance(found, Reply) and found[0].acts
        refusal = access.check_token(headers.get("authorization", []), request.env.get("REMOTE_ADDR", ""), acts=acts)
        if refusal is not None:
            return refusal
    if isinstance(found, Reply):
        return found
    endpoint, fields = found
    if not access.sees_all(headers.get("authorization", [])):
        daemon = daemon.for_reader
    call = _call(request, endpoint, fields, daemon.now_ms())
    return call if isinstance(call, Reply) else _run(endpoint, daemon, call, limits, path)


def _reads_pages(request: falcon.Request, path: str) -> bool:
    """Whether a browser asks, which shows pages, and for none of the API's paths."""
    is_ours = path == "/api" or path.startswith(("/api/", "/-/"))
    return request.method in ("GET", "HEAD") and "text/html" in (request.get_header("Accept") or "") and not is_ours


def _headers(request: falcon.Request) -> Mapping[str, list[str]]:
    """The headers by name in lower case. WSGI servers join repeated ones."""
    return {name.lower(): [value] for name, value in request.headers.items()}


def _path(request: falcon.Request) -> str:
    """The decoded path; WSGI holds its bytes as Latin-1 (PEP 3333)."""
    path: str = request.env["PATH_INFO"]
    return path.encode("latin-1").decode("utf-8", "replace")


def _call(request: falcon.Request, endpoint: Endpoint, fields: Mapping[str, str], now: int) -> Call | Reply:
    query = {}
    if endpoint.parameters is not None:
        read = read_query(request.env.get("QUERY_STRING", ""), endpoint.parameters, now)
        if isinstance(read, Reply):
            return read
        query = dict(read)
    if request.method in ("GET", "HEAD"):
        return Call(fields, query, None, now, request.get_header("Accept") or "")
    content: bytes = request.env["wsgi.input"].read(-1)
    if not endpoint.body:
        return problem_reply(400, "this takes no body") if content else Call(fields, query, None, now)
    media_type = (request.env.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()
    if media_type not in endpoint.body_types:
        return problem_reply(415, f"send the body as {endpoint.body_types[0]}, and say so in Content-Type")
    if isinstance(endpoint.body, str):
        return Call(fields, query, content, now)
    body = read_json(content, endpoint.body)
    return body if isinstance(body, Reply) else Call(fields, query, body, now)


def _run(
    endpoint: Endpoint, daemon: DaemonHandle, call: Call, limits: Mapping[str, ConcurrencyLimit], path: str
) -> Reply:
    if endpoint.limit is None:
        return endpoint.run(daemon, call)

    def run() -> Reply:
        reads = endpoint.limit == "store" and not endpoint.acts
        reading = EndpointReading(endpoint.method, path, call, may_act=not daemon.is_for_reader)
        return (daemon.elsewhere(reading) if reads else None) or endpoint.run(daemon, call)

    return _limited(limits[endpoint.limit], run, _busy)


def _busy() -> Reply:
    return problem_reply(503, "too many requests are under way; try again in a moment", ("Retry-After", "2"))


def _limited(limit: ConcurrencyLimit, run: Callable[[], Reply], busy: Callable[[], Reply]) -> Reply:
    with limit.slot(WAIT_SECONDS) as admitted:
        if not admitted:
            return busy()
        try:
            return run()
        except StoreError as error:
            log.error("admin request failed: the store can't be read or written", error=str(error))
            return problem_reply(
                503, "the store can't be read or written at the moment; see the log", ("Retry-After", "5")
            )
