"""What both stores keep as JSON: the request of an attempt, and how the rules judged an event."""

import json
from dataclasses import asdict

import orjson

from router.domain.events import Routing
from router.domain.outcomes import Sent


def sent_text(sent: Sent) -> str:
    """What an attempt sent, as the column `sent` has it."""
    try:
        return orjson.dumps(sent).decode()
    except TypeError:  # a lone surrogate
        return json.dumps(asdict(sent), ensure_ascii=False).encode(errors="replace").decode()


def sent_of(text: str | None) -> Sent | None:
    """The inverse of `sent_text`."""
    if text is None:
        return None
    kept = json.loads(text)
    return Sent(**kept | {"headers": tuple((name, value) for name, value in kept["headers"])})


def routing_of(ruleset: str | None, matched: str, errors: str | None) -> Routing | None:
    """The routing, from an event's ruleset, its JSON list of rules that matched, and that of rules that could not be
    evaluated."""
    if ruleset is None:
        return None
    failed = () if errors is None else tuple((rule, reason) for rule, reason in orjson.loads(errors))
    return Routing(ruleset, tuple(orjson.loads(matched)), failed)
