"""How a preview differs from what a rule test expects, in words."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from router.rules.dry_run.case_options import ExpectOptions
from router.rules.dry_run.preview import Preview
from router.rules.match.values import same


def differences(expect: ExpectOptions, shown: Preview) -> list[str]:
    """Each difference; empty if there is none."""
    found: list[str] = []
    if expect.rules is not None:
        wanted, matched = set(expect.rules), set(shown.matched)
        reasons = {rule.rule: rule.reason for rule in shown.explained or ()}
        nothing = "the answer gives no event"
        found += [
            f'rule "{name}" did not match: {reasons.get(name, nothing)}' for name in expect.rules if name not in matched
        ]
        found += [f'rule "{name}" matched, and was not expected to' for name in shown.matched if name not in wanted]
    planned = [delivery.as_json() for delivery in shown.deliveries]
    taken: dict[int, int] = {}  # number of the part, by number of the delivery
    for number, part in enumerate(expect.deliveries):
        if not _assign(number, expect.deliveries, planned, taken, set()):
            found.append(_no_delivery(part, [one for place, one in enumerate(planned) if place not in taken]))
    for place, delivery in enumerate(shown.deliveries):
        expected = place in taken and "error" in expect.deliveries[taken[place]]
        if delivery.error is not None and not expected:
            found.append(delivery.dead_at_once)
    return found


def _assign(number: int, parts: Sequence[Any], planned: Sequence[Any], taken: dict[int, int], tried: set[int]) -> bool:
    """Assign a delivery to a part; may move another part to another delivery."""
    for place, delivery in enumerate(planned):
        if place in tried or not _holds(parts[number], delivery):
            continue
        tried.add(place)
        if place not in taken or _assign(taken[place], parts, planned, taken, tried):
            taken[place] = number
            return True
    return False


def _holds(part: Any, whole: Any) -> bool:
    """Whether the whole contains the part, compared by type; lists must be equal."""
    if isinstance(part, dict | list) and isinstance(whole, str):
        whole = _from_json(whole)  # the body of a forward is text
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and _holds(inner, whole[key]) for key, inner in part.items()
        )
    return same(part, whole)


def _from_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _no_delivery(part: Mapping[str, Any], planned: Sequence[Mapping[str, Any]]) -> str:
    if not planned:
        return f"no further delivery is planned like {json.dumps(part, ensure_ascii=False)}"

    def alike(delivery: Mapping[str, Any]) -> float:
        return difflib.SequenceMatcher(None, _pretty(part), _pretty(_same_keys(part, delivery))).ratio()

    nearest = max(planned, key=alike)
    lines = difflib.unified_diff(
        _pretty(part).splitlines(),
        _pretty(_same_keys(part, nearest)).splitlines(),
        "expected",
        "planned",
        lineterm="",
        n=9,
    )
    return "no delivery is planned like this; the nearest:\n" + "\n".join(lines)


def _same_keys(part: Any, whole: Any) -> Any:
    """The whole without the keys that the part lacks."""
    if isinstance(part, dict) and isinstance(whole, str):
        whole = _from_json(whole)
    if isinstance(part, dict) and isinstance(whole, dict):
        return {key: _same_keys(inner, whole[key]) for key, inner in part.items() if key in whole}
    return whole


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
