"""Explains an event whose payload is hidden: verdicts without values."""

from dataclasses import replace

from router.domain.groups import Latest, Once
from router.operate.explain_event import ExplainedEvent
from router.operate.hiding import HIDDEN
from router.rules.dry_run.explain import NOT_TRIED, Explained, ExplainedRule
from router.rules.dry_run.preview import Preview, PreviewedDelivery, PreviewedReply


def without_values(found: ExplainedEvent) -> ExplainedEvent:
    """The explanation without values of the payload and without the requests that would be sent."""
    shown = found.shown
    return replace(found, hidden=True, shown=None if shown is None else _preview(shown))


def _preview(shown: Preview) -> Preview:
    return replace(
        shown,
        deliveries=tuple(map(_delivery, shown.deliveries)),
        explained=None if shown.explained is None else tuple(map(_rule, shown.explained)),
        respond=None if shown.respond is None else _reply(shown.respond),
    )


def _delivery(delivery: PreviewedDelivery) -> PreviewedDelivery:
    group = delivery.group
    return replace(
        delivery,
        order_key=None if delivery.order_key is None else HIDDEN,
        does=None,
        item=None if delivery.item is None else HIDDEN,
        group=replace(group, key=HIDDEN) if isinstance(group, Latest | Once) else None,
    )


def _reply(reply: PreviewedReply) -> PreviewedReply:
    return replace(reply, headers=tuple((name, HIDDEN) for name, _ in reply.headers), body=HIDDEN)


def _rule(rule: ExplainedRule) -> ExplainedRule:
    if rule.verdict == NOT_TRIED:
        return rule  # the reason is in the rules
    return replace(
        rule,
        reason=HIDDEN if rule.reason else "",
        conditions=tuple(map(_condition, rule.conditions)),
        items=None if rule.items is None else (HIDDEN,) * len(rule.items),
        item=None if rule.item is None else HIDDEN,
    )


def _condition(condition: Explained) -> Explained:
    return replace(
        condition,
        reason=HIDDEN,
        values=(HIDDEN,) * len(condition.values),
        parts=tuple(map(_condition, condition.parts)),
    )
