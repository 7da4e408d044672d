"""The names of rules, actions, targets and sources that a store knows, for filters that find nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.domain.errors import RouterError
from router.domain.events import UNMATCHED
from router.domain.filters import EventFilter, Filter
from router.domain.nearest_word import did_you_mean, shortened
from router.operate.follow import Which
from router.operate.status import note
from router.rules.yaml.document import read
from router.rules.yaml.nodes import data
from router.store.contract import OperatorStore

_ACTION_KEYS = ("name", "retry", "order_by")  #: all other keys of an action name its type


@dataclass(frozen=True, slots=True)
class Names:
    """What was seen in recent events and deliveries, or stands in the rules that run (or ran last)."""

    rule: frozenset[str]
    action: frozenset[str]
    target: frozenset[str]
    source: frozenset[str]

    def complaints(self, which: Filter | EventFilter | Which) -> list[str]:
        """What a filter asks for by a name that nothing has, each with the nearest one."""
        found = []
        for word in ("rule", "action", "target", "source"):
            asked, known = getattr(which, word, None), getattr(self, word)
            if asked is not None and asked not in known:
                cure = did_you_mean(asked, known) or "; nothing was received yet"
                found.append(f'no {word} "{shortened(asked)}" is known{cure}')
        return found


def names(store: OperatorStore) -> Names:
    """Which there are. Raises StoreError."""
    rows = store.recent_names()
    said = note(store, "rules").get("hash")
    text = store.ruleset(said) if isinstance(said, str) else None
    rules = _rules_file(text.text) if text is not None else {}
    written = _listed(rules.get("rules"))
    if "unmatched" in rules:
        written.append({"name": UNMATCHED, "actions": rules["unmatched"]})
    actions = [action for rule in written for action in _listed(rule.get("actions"))]
    return Names(
        rule=_texts([*(row[1] for row in rows), *(rule.get("name") for rule in written)]),
        action=_texts([*(row[2] for row in rows), *(_action_name(action) for action in actions)]),
        target=_texts([*(row[3] for row in rows), *_keys(rules.get("targets")), *(d.target for d in store.depths())]),
        source=_texts([*(row[0] for row in rows), *_keys(rules.get("sources"))]),
    )


def in_words(which: Filter | EventFilter) -> str:
    """What a filter asks for: `rule "deploy", state dead`."""
    states = " or ".join(getattr(which, "states", ()))
    parts = [f"state {states}"] if states else []
    for word in ("rule", "action", "target", "source", "event_id"):
        asked = getattr(which, word, None)
        if asked is not None:
            parts.append(f'{word.removesuffix("_id")} "{shortened(asked)}"')
    if which.since is not None or which.until is not None:
        parts.append("in that time")
    return ", ".join(parts)


def _rules_file(text: str) -> dict[str, Any]:
    try:
        found = data(read(text)[0])
    except RouterError:  # it loaded once; by a later version's reader perhaps no more
        return {}
    return found if isinstance(found, dict) else {}


def _listed(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _keys(value: object) -> list[Any]:
    return list(value) if isinstance(value, dict) else []


def _action_name(action: dict[str, Any]) -> Any:
    return action.get("name") or next((key for key in action if key not in _ACTION_KEYS), None)


def _texts(values: Iterable[Any]) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str) and value)
