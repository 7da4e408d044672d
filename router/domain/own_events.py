"""The router's own events: its reports about itself, for rules with `source: router`.

A payload has `kind`, `subject`, `count`, `at`, and the facts of its kind. It holds no secret, and no payload or query
of a sender.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from router.domain.deliveries import PlannedDelivery
from router.domain.events import Event, Routing
from router.domain.ids import uuid7
from router.domain.iso_time import iso

SOURCE = "router"  #: the name that rules listen to, unless a source of the file has it
PATH = "/-/router"  #: the path of these events; no source of a file can have it
GATHER_MS = 600_000  #: after a notice, further notices of its kind and subject are gathered for this time
LONGEST_TEXT = 500  #: characters of an error in a payload

KINDS: Mapping[str, str] = {
    "delivery.dead": "a delivery was given up",
    "target.down": "a target fails, and its deliveries wait",
    "target.up": "a target that was down answers again",
    "rules.refused": "the rules file has changed, and can't be loaded",
    "rules.reloaded": "changed rules run",
    "backlog.old": "a target's oldest delivery waits for long",
    "disk.low": "the store's disk has little room left",
    "node.lost": "a node has stopped without notice",
    "source.failing": "a polled source fails for a while",
    "source.recovered": "a polled source that was failing answers again",
}
"""Each kind, and when it is sent."""

_DELIVERY = orjson.loads(
    b"""{
    "id": "01a21084-c67e-7002-b259-2086cc2fb830", "rule": "orders", "action": "forward", "type": "forward",
    "target": "crm", "attempts": 12, "created_at": "2024-05-01T09:30:00.000Z",
    "error": "HTTP 503; gave up: the next attempt would be later than give_up_after"
    }"""
)
SAMPLES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "delivery.dead": (
        "orders/forward",
        {"delivery": _DELIVERY, "event": {"id": "01a21084-c67e-7001-b259-2086cc2fb830", "source": "shop"}},
    ),
    "target.down": ("crm", {"target": {"name": "crm", "error": "HTTP 503"}}),
    "target.up": ("crm", {"target": {"name": "crm", "down_seconds": 184}}),
    "rules.refused": (
        "rules",
        {
            "rules": {
                "file": "rules.yaml",
                "hash": "3f1c9a7be2d4",
                "why": "problems",
                "problems": ['rules.yaml:14:7: rules[2].match: unknown operator "equal"; did you mean "equals"?'],
            }
        },
    ),
    "rules.reloaded": (
        "rules",
        {
            "rules": {
                "file": "rules.yaml",
                "hash": "3f1c9a7be2d4",
                "added": ["refunds"],
                "removed": [],
                "changed": ["orders"],
                "besides": ["targets.crm"],
            }
        },
    ),
    "backlog.old": ("crm", {"target": {"name": "crm", "oldest_seconds": 3720, "waiting": 41}}),
    "disk.low": ("store", {"disk": {"store": "/var/lib/webhook-router/events.db", "free_bytes": 900_000_000}}),
    "node.lost": ("node-2", {"node": {"name": "node-2", "host": "hooks-2", "seen_at": "2024-05-01T09:30:00.000Z"}}),
    "source.failing": (
        "builds",
        {"source": {"name": "builds", "error": "HTTP 503", "failures": 5, "failing_seconds": 312}},
    ),
    "source.recovered": ("builds", {"source": {"name": "builds", "failing_seconds": 1840}}),
}
"""An example of each kind: its subject and facts."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An own event with the deliveries that the rules plan for it."""

    kind: str
    subject: str  #: what it is about, such as a target; notices of one kind and subject are gathered
    event: Event
    plan: Sequence[PlannedDelivery]
    routing: Routing


@dataclass(frozen=True, slots=True)
class Gathered:
    """Notices of one kind and subject that were gathered since the last one was sent."""

    kind: str
    subject: str
    opened_at: int  #: ms, when the last one was sent; 0: never
    count: int  #: the number of notices since then
    last: str  #: the payload of the last of them, JSON


def own_event(kind: str, subject: str, facts: Mapping[str, Any], now: int, *, count: int = 1) -> Event:
    """The event about something of this kind at `now`, in ms; `count` is the number of notices that it stands for."""
    body = {"kind": kind, "subject": subject, "count": count, "at": iso(now), **facts}
    return _event(orjson.dumps(body), now)


def gathered_event(gathered: Gathered, now: int) -> Event:
    """The event about gathered notices: the facts of the last one, with their number."""
    return _event(orjson.dumps({**orjson.loads(gathered.last), "count": gathered.count}), now)


def sample_event(kind: str, now: int) -> Event:
    """An example of an event of a kind."""
    subject, facts = SAMPLES[kind]
    return own_event(kind, subject, facts, now)


def is_own(event: Event) -> bool:
    """Whether the router made the event itself, whatever the name of its source."""
    return event.source == SOURCE and event.path == PATH


def died(
    *,
    delivery_id: str,
    rule: str,
    action: str,
    type_: str,
    target: str,
    attempts: int,
    error: str,
    created_at: int,
    event_id: str,
    source: str,
) -> tuple[str, Mapping[str, Any]]:
    """Subject and facts of `delivery.dead`."""
    delivery = {
        "id": delivery_id,
        "rule": rule,
        "action": action,
        "type": type_,
        "target": target,
        "attempts": attempts,
        "error": shortened(error),
        "created_at": iso(created_at),
    }
    return f"{rule}/{action}", {"delivery": delivery, "event": {"id": event_id, "source": source}}


def shortened(text: str) -> str:
    """A text of another program for a payload: bounded, and valid Unicode."""
    return text[:LONGEST_TEXT].encode(errors="replace").decode()


def _event(body: bytes, now: int) -> Event:
    headers = (("Content-Type", "application/json"),)
    return Event(uuid7(now), SOURCE, "POST", PATH, "", headers, body, "127.0.0.1", now)
