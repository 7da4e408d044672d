"""How two rulesets differ in the answer to an event's sender."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.domain.units import as_duration
from router.operate.plan.definitions import Definitions
from router.operate.plan.routed import Routed, changed_fields
from router.rules.compile.respond import RespondFrom
from router.rules.dry_run.preview import previewed_reply
from router.rules.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """The answer to the sender of one event, before and after."""

    #: the rule whose `respond` answers, before and after; None: the source's, or the usual answer
    rules: tuple[str | None, str | None]
    fields: tuple[str, ...]  #: names of the fields that differ
    old: Mapping[str, Any]
    new: Mapping[str, Any]


def compare_answers(definitions: Definitions, before: Routed, after: Routed) -> AnswerChange | None:
    """The difference; None if there is none, or if one side does not accept the event."""
    if before.parsed is None or after.parsed is None:
        return None
    old, new = _facts(before), _facts(after)
    if _same_action(definitions, before, after):
        new["from"] = old["from"]
    fields = tuple(changed_fields(old, new))
    return AnswerChange((_rule(before), _rule(after)), fields, old, new) if fields else None


def _facts(routed: Routed) -> dict[str, Any]:
    """The answer as fields. What an action would answer is unknown; its name is used."""
    assert routed.parsed is not None  # the caller has checked this
    facts: dict[str, Any] = {}
    answering = _answering(routed)
    if answering is not None:
        facts = {
            "from": f"{answering.rule}/{answering.action}",
            "within": as_duration(answering.within),
            "from_content_type": answering.content_type,
            "from_headers": dict(answering.headers) or None,
        }
    reply = previewed_reply(routed.rules, routed.source, routed.parsed)
    if reply is None:
        return facts
    shown = reply.as_json()
    del shown["rule"]  # a rule with another name may answer the same
    return {**facts, **shown}


def _answering(routed: Routed) -> RespondFrom | None:
    first = next((rule.respond for rule in routed.rules if rule.respond is not None), None)
    return first if isinstance(first, RespondFrom) else None


def _same_action(definitions: Definitions, before: Routed, after: Routed) -> bool:
    """Whether the same action answers, under any name."""
    one, other = _answering(before), _answering(after)
    if one is None or other is None or before.source is None:
        return False
    old = _action(definitions.before, one)
    new = _action(definitions.after, other)
    return old is not None and new is not None and definitions.same(old, new, before.source.name)


def _action(ruleset: Ruleset, answering: RespondFrom) -> Any:
    return ruleset.actions.get((answering.rule, answering.action))


def _rule(routed: Routed) -> str | None:
    return next((rule.name for rule in routed.rules if rule.respond is not None), None)
