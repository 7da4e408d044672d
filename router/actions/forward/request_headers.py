"""The headers that a forward sends: the event's that pass, those that the action sets, and the forward's own."""

from collections.abc import Iterable, Sequence

from router import __version__
from router.actions.forward.signature import signature
from router.domain.errors import RenderError
from router.domain.secrets import Secret
from router.observe.trace_context import TraceContext, trace_of
from router.plugins.action import AttemptInput
from router.templates import Context, Template

Headers = list[tuple[str, str]]


def event_headers(
    passed: Iterable[tuple[str, str]],
    content_type: str | None,
    written: Sequence[tuple[str, Template]],
    values: Context,
) -> Headers:
    """The event's headers that pass. A header that the action sets replaces them. Raises RenderError."""
    headers = [(name, sendable) for name, value in passed if (sendable := _sendable(value)) is not None]
    if not any(name.lower() == "user-agent" for name, _ in headers):
        headers.append(("User-Agent", f"webhook-router/{__version__}"))
    if content_type is not None:
        headers.append(("Content-Type", content_type))
    for name, template in written:
        value = template.render(values)
        if any(c in value for c in "\r\n\0") or not all(c.isprintable() or c in "\t " for c in value):
            raise RenderError(f"header {name} would contain a control character")
        headers = [item for item in headers if item[0].lower() != name.lower()]
        headers.append((name, value))
    return headers


def own_headers(
    job: AttemptInput, body: bytes, now: int, secret: Secret | None, written: Sequence[tuple[str, Template]]
) -> Headers:
    """The forward's own headers: ids, signature, trace. Headers that the action sets are left out. `now` in seconds."""
    event_id = job.public_id
    own = [
        ("webhook-id", event_id),
        ("webhook-timestamp", str(now)),
        ("webhook-attempt", str(job.claim.attempt)),
        ("Idempotency-Key", job.claim.delivery.id),
    ]
    if secret is not None:
        own.append(("webhook-signature", signature(secret, event_id, now, body)))
    if (trace := trace_of(job.event.named)) is not None:
        own += _trace_headers(trace)
    return _without(own, written) if written else own


def _without(own: Headers, written: Sequence[tuple[str, Template]]) -> Headers:
    names = {name.lower() for name, _ in written}
    if "traceparent" in names:
        names.add("tracestate")  # it belongs to the event's trace, and the action sets another
    return [header for header in own if header[0].lower() not in names]


def _trace_headers(trace: TraceContext) -> Headers:
    """The event's trace with a new span: each attempt is its own step."""
    parent = ("traceparent", trace.parent())
    return [parent, ("tracestate", trace.state)] if trace.state else [parent]


def _sendable(value: str) -> str | None:
    """A received value in the encoding that sends the same bytes; None when that is impossible."""
    if value.isascii():
        return value if value.isprintable() or "\t" in value else None
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return None
