"""The names of rules, actions, targets and sources that a store knows, to explain a filter that matches nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from router.domain.errors import RouterError
from router.domain.events import UNMATCHED
from router.domain.filters import EventFilter, Filter
from router.domain.nearest_word import did_you_mean, shortened
from router.domain.own_events import SOURCE
from router.operate.follow import StreamFilter
from router.operate.status import note
from router.rules.compile.actions import ACTION_KEYS
from router.rules.yaml.document import read
from router.rules.yaml.nodes import data
from router.store.contract import OperatorStore


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names in recent events and deliveries, and in the rules that run (or ran last)."""

    rule: frozenset[str]
    action: frozenset[str]
    target: frozenset[str]
    source: frozenset[str]

    def unknown(self, which: Filter | EventFilter | StreamFilter) -> list[str]:
        """A message for each unknown name in a filter, with the nearest known name."""
        messages = []
        for word in ("rule", "action", "target", "source"):
            wanted, known = getattr(which, word, None), getattr(self, word)
            if wanted is not None and wanted not in known:
                cure = did_you_mean(wanted, known) or "; nothing was received yet"
                messages.append(f'no {word} "{shortened(wanted)}" is known{cure}')
        return messages


def known_names(store: OperatorStore) -> KnownNames:
    """Read the names. Raises StoreError."""
    rows = store.recent_names()
    running = note(store, "rules").get("hash")
    text = store.ruleset(running) if isinstance(running, str) else None
    texts = [text.text, *(one.text for one in text.included)] if text is not None else []
    files = [_rules_file(one) for one in texts]
    written = [rule for file in files for rule in _mappings(file.get("rules"))]
    written += [{"name": UNMATCHED, "actions": file["unmatched"]} for file in files if "unmatched" in file]
    actions = [action for rule in written for action in _mappings(rule.get("actions"))]
    return KnownNames(
        rule=_texts([*(row[1] for row in rows), *(rule.get("name") for rule in written)]),
        action=_texts([*(row[2] for row in rows), *(_action_name(action) for action in actions)]),
        target=_texts([*(row[3] for row in rows), *_names(files, "targets"), *(d.target for d in store.depths())]),
        source=_texts([*(row[0] for row in rows), *_names(files, "sources"), SOURCE]),
    )


def describe_filter(which: Filter | EventFilter) -> str:
    """A filter in words: `rule "deploy", state dead`."""
    states = " or ".join(getattr(which, "states", ()))
    parts = [f"state {states}"] if states else []
    for word in ("rule", "action", "target", "source", "event_id"):
        wanted = getattr(which, word, None)
        if wanted is not None:
            parts.append(f'{word.removesuffix("_id")} "{shortened(wanted)}"')
    if isinstance(which, EventFilter) and which.unmatched:
        parts.append("unmatched")
    if isinstance(which, EventFilter) and which.dedupe_keys:
        parts.append("with that id of the provider (of a source with dedupe)")
    for word in ("since", "until"):
        at = getattr(which, word)
        if at is not None:
            parts.append(f"{word} {datetime.fromtimestamp(at / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}")
    return ", ".join(parts)


def _rules_file(text: str) -> dict[str, Any]:
    try:
        found = data(read(text)[0])
    except RouterError:  # an earlier version loaded it, and this one may refuse it
        return {}
    return found if isinstance(found, dict) else {}


def _mappings(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _names(files: Iterable[dict[str, Any]], section: str) -> list[Any]:
    found = [file.get(section) for file in files]
    return [name for entries in found if isinstance(entries, dict) for name in entries]


def _action_name(action: dict[str, Any]) -> Any:
    return action.get("name") or next((key for key in action if key not in ACTION_KEYS), None)


def _texts(values: Iterable[Any]) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str) and value)
