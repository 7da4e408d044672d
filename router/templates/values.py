"""The values that a template reads: `payload`, `headers`, `secrets` and the other names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jinja2

from router.domain.events import Event, ParsedEvent
from router.domain.headers import Headers
from router.domain.request import query_values
from router.plugins.action import AttemptInput
from router.templates.budget import RenderBudget
from router.templates.running import new_budget
from router.templates.text import Mask

NAMES = ("payload", "headers", "query", "event", "source", "delivery", "secrets", "params", "item", "item_index")
SHADOWED = ("params", "item", "item_index")  #: names that a template may give to a variable of its own


class Missing(jinja2.StrictUndefined):
    """A value that is missing; using it is an error, except with `default()`."""


@dataclass(frozen=True)
class Context:
    """The values that one rendering reads, and its budget."""

    values: Mapping[str, Any]
    budget: RenderBudget | None = None  #: shared by all templates of one attempt; None: each rendering has its own

    def read(self, path: tuple[str | int, ...]) -> Any:
        """The value at a path such as `payload.repository.id`; only keys and items are read, no Python attributes."""
        value = self.values[str(path[0])]
        if len(path) == 1:
            return value
        for depth, key in enumerate(path[1:], 2):
            value = item_of(value, key, dotted, path[:depth])
            if isinstance(value, Missing):
                return Missing(hint=f"{dotted(path)} is missing") if depth < len(path) else value
        return Missing(hint=f"{dotted(path)} is missing (null)") if value is None else value


def item_of(value: Any, key: Any, name: Callable[[Any], str], named: Any) -> Any:
    """The value of one key or index; null counts as missing. `name(named)` is its name in errors."""
    found = None
    if isinstance(value, Mapping):
        found = value.get(key) if isinstance(key, str) else None
    elif isinstance(value, list | tuple) and type(key) is int and -len(value) <= key < len(value):
        found = value[key]
    return Missing(hint=f"{name(named)} is missing") if found is None else found


def dotted(path: tuple[str | int, ...]) -> str:
    """A path as it is written: `payload.commits[0]['a b']`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


class _Values(dict[str, Any]):
    """The values by name, each made when a template first reads it."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__()
        self._makers = makers

    def __missing__(self, name: str) -> Any:
        value = self[name] = self._makers[name]()
        return value


def context(job: AttemptInput, *, mask_secrets: bool) -> Context:
    """The values for an attempt. Masked secrets show as `<secret:name>`."""

    def secrets() -> dict[str, str]:
        if mask_secrets:
            return {name: Mask(f"<secret:{name}>") for name in job.secrets}
        return {name: secret.reveal() for name, secret in job.secrets.items() if secret.is_set}

    def delivery() -> dict[str, Any]:
        planned = job.claim.delivery
        return {"id": planned.id, "rule": planned.rule, "action": planned.action, "attempt": job.claim.attempt}

    makers = _makers(job.event, lambda: job.parsed)
    of_item = {"item": lambda: job.item, "item_index": lambda: job.claim.delivery.item_index}
    values = _Values({**makers, **of_item, "delivery": delivery, "secrets": secrets})
    return Context(values, new_budget(len(job.event.body)))


def event_context(parsed: ParsedEvent) -> Context:
    """The values for an event without a delivery."""
    return Context(_Values(_makers(parsed.event, lambda: parsed)), new_budget(len(parsed.event.body)))


def _makers(event: Event, parsed: Callable[[], ParsedEvent]) -> dict[str, Callable[[], Any]]:
    def facts() -> dict[str, str]:
        received = datetime.fromtimestamp(event.received_at / 1000, UTC)
        return {
            "id": event.id,
            "source": event.source,
            "method": event.method,
            "path": event.path,
            "ip": event.ip,
            "received_at": received.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    return {
        "payload": lambda: parsed().payload,
        "params": lambda: parsed().params or {},
        "headers": lambda: FirstValues(event.named),
        "query": lambda: {name: values[0] for name, values in query_values(event.query).items()},
        "source": lambda: event.source,
        "event": facts,
    }


class FirstValues(dict[str, str]):
    """Headers as a mapping: names without case, the first value of each."""

    def __init__(self, headers: Headers) -> None:
        super().__init__((name, headers[name]) for name in headers)
        self._headers = headers

    def get(self, name: str, default: Any = None) -> Any:
        return self._headers.get(name, default)
