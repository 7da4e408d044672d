"""The table of all endpoints, and the endpoint of a request."""

from router.admin.api import deliveries, events, openapi, plan, probes, reload, rules, status, targets
from router.admin.api.endpoint import BODY_BYTES, RULES_BYTES, Endpoint
from router.admin.api.replies import problem_reply
from router.domain.reply import Reply


def _openapi(*_: object) -> Reply:
    return openapi.reply(ENDPOINTS)


ENDPOINTS: tuple[Endpoint, ...] = (
    *probes.ENDPOINTS,
    *reload.ENDPOINTS,
    *status.ENDPOINTS,
    *targets.ENDPOINTS,
    *rules.ENDPOINTS,
    *plan.ENDPOINTS,
    *events.ENDPOINTS,
    *deliveries.ENDPOINTS,
    openapi.endpoint(_openapi),
)

_LITERAL = frozenset(endpoint.path for endpoint in ENDPOINTS if not endpoint.path_fields)
_WITH_RULES_FILE = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.body == "yaml")


def body_limit(path: str) -> int:
    """The largest body that a path takes, in bytes."""
    return RULES_BYTES if path in _WITH_RULES_FILE else BODY_BYTES


def find(method: str, path: str) -> tuple[Endpoint, dict[str, str]] | Reply:
    """The endpoint of a request with the values of its path's fields; or a 404 or 405."""
    allowed: set[str] = set()
    for endpoint in ENDPOINTS:
        if path in _LITERAL and "id" in endpoint.path_fields:
            continue  # `replay` can't be a delivery's id, but a rule may be called `check`
        found = endpoint.pattern.fullmatch(path)
        if found is not None:
            if endpoint.method == method or (endpoint.method, method) == ("GET", "HEAD"):
                return endpoint, found.groupdict()
            allowed |= {"GET", "HEAD"} if endpoint.method == "GET" else {endpoint.method}
    if not allowed:
        return problem_reply(
            404, "there is nothing here; docs/api.md lists what there is, and so does /api/openapi.json"
        )
    listed = ", ".join(sorted(allowed))
    return problem_reply(405, f"use {listed}", ("Allow", listed))


def needs_token(found: tuple[Endpoint, dict[str, str]] | Reply, path: str) -> bool:
    """Whether a request needs the token even on loopback: for endpoints that are not open, and for unknown API
    paths."""
    if isinstance(found, Reply):
        return path == "/api" or path.startswith("/api/")
    return not found[0].is_open
