"""All that can be asked of the admin listener."""

from router.admin.api import deliveries, events, openapi, probes, reload, rules, status, targets
from router.admin.api.endpoint import BODY_BYTES, RULES_BYTES, Endpoint
from router.admin.api.replies import refused
from router.domain.reply import Reply


def _openapi(*_: object) -> Reply:
    return openapi.reply(ENDPOINTS)


ENDPOINTS: tuple[Endpoint, ...] = (
    *probes.ENDPOINTS,
    *reload.ENDPOINTS,
    *status.ENDPOINTS,
    *targets.ENDPOINTS,
    *rules.ENDPOINTS,
    *events.ENDPOINTS,
    *deliveries.ENDPOINTS,
    openapi.endpoint(_openapi),
)

_LITERAL = frozenset(endpoint.path for endpoint in ENDPOINTS if not endpoint.path_fields)
_HEAVY = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.body == "yaml")


def body_limit(path: str) -> int:
    """The largest body of a path, in bytes."""
    return RULES_BYTES if path in _HEAVY else BODY_BYTES


def find(method: str, path: str) -> tuple[Endpoint, dict[str, str]] | Reply:
    """What is asked for, and what stands in the fields of its path; or why it is nothing."""
    allowed: set[str] = set()
    for endpoint in ENDPOINTS:
        if path in _LITERAL and "id" in endpoint.path_fields:
            continue  # `replay` is no delivery's id, while a rule may well be called `check`
        found = endpoint.pattern.fullmatch(path)
        if found is not None:
            if endpoint.method == method or (endpoint.method, method) == ("GET", "HEAD"):
                return endpoint, found.groupdict()
            allowed |= {"GET", "HEAD"} if endpoint.method == "GET" else {endpoint.method}
    if not allowed:
        return refused(404, "there is nothing here; docs/api.md lists what there is, and so does /api/openapi.json")
    listed = ", ".join(sorted(allowed))
    return refused(405, f"use {listed}", ("Allow", listed))


def needs_token(found: tuple[Endpoint, dict[str, str]] | Reply, path: str) -> bool:
    """Whether what was found needs the token on loopback too: all but what says otherwise, and what isn't there."""
    if isinstance(found, Reply):
        return path == "/api" or path.startswith("/api/")
    return not found[0].is_open
