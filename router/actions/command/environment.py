"""The environment of a program: some of the daemon's variables, the delivery's, and the action's own."""

import os
from collections.abc import Sequence
from functools import cache

from router.actions.command.text_limits import check_text
from router.observe.trace_context import trace_of
from router.plugins.action import AttemptInput
from router.templates import Context, Template

_INHERITED = (b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL", b"LANG", b"LC_ALL", b"TZ", b"TMPDIR")
_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Variables = Sequence[tuple[str, Template]]


def environment(job: AttemptInput, variables: Variables, values: Context | None) -> dict[bytes, bytes]:
    """All variables of one run; `variables` are the action's own. Raises RenderError."""
    env = {**_inherited(), **_facts(job)}
    # An action that sets its own trace starts a new one.
    if "TRACEPARENT" not in {name for name, _ in variables}:
        env |= _trace(job)
    for name, template in variables:
        value = rendered_text(template, values)
        check_text(f"{name}={value}", f"env.{name}")
        env[name.encode()] = value.encode()
    return env


def rendered_text(template: Template, values: Context | None) -> str:
    """Render a template to text. `values` may be None for a constant template. Raises RenderError."""
    if template.constant is not None:
        return template.constant
    assert values is not None
    return template.render(values)


@cache
def _inherited() -> dict[bytes, bytes]:
    """The daemon's variables that programs get. None of them can hold a secret."""
    return {b"PATH": _PATH} | {name: os.environb[name] for name in _INHERITED if name in os.environb}


def _facts(job: AttemptInput) -> dict[bytes, bytes]:
    delivery = job.claim.delivery
    item = {} if delivery.item_index is None else {b"WEBHOOK_ROUTER_ITEM_INDEX": str(delivery.item_index).encode()}
    return item | {
        b"WEBHOOK_ROUTER_EVENT_ID": job.claim.event.id.encode(),
        b"WEBHOOK_ROUTER_SOURCE": job.claim.event.source.encode(),
        b"WEBHOOK_ROUTER_RULE": delivery.rule.encode(),
        b"WEBHOOK_ROUTER_ACTION": delivery.action.encode(),
        b"WEBHOOK_ROUTER_DELIVERY_ID": delivery.id.encode(),
        b"WEBHOOK_ROUTER_ATTEMPT": str(job.claim.attempt).encode(),
    }


def _trace(job: AttemptInput) -> dict[bytes, bytes]:
    trace = trace_of(job.event.named)
    if trace is None:
        return {}
    parent = {b"TRACEPARENT": trace.parent().encode()}
    return parent | {b"TRACESTATE": trace.state.encode()} if trace.state else parent
