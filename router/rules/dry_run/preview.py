"""Previews what the rules would do with an event, for `test`. Nothing is executed or verified."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from router.domain.credentials import without_credentials
from router.domain.deliveries import Claim, Delivery, PlannedDelivery, State
from router.domain.errors import RenderError
from router.domain.events import Event, ParsedEvent
from router.domain.groups import Group, Latest, Once
from router.domain.ids import uuid7
from router.domain.items import Item
from router.domain.own_events import is_own
from router.domain.reply import Reply
from router.domain.request import Inbound
from router.plugins.action import AttemptInput
from router.rules.compile.respond import RespondFrom
from router.rules.dry_run.explain import ExplainedRule, explain
from router.rules.own_source import OWN_SOURCE
from router.rules.parsing import parse_arriving, parse_event
from router.rules.rule import Rule, RuleAction
from router.rules.ruleset import Ruleset
from router.rules.source import Source


@dataclass(frozen=True, slots=True)
class PreviewedDelivery:
    """A delivery that would be planned."""

    rule: str
    action: str
    type: str
    target: str
    order_key: str | None
    error: str | None  #: why it would be dead at once; None if it would be attempted
    does: dict[str, Any] | None  #: what the attempt would do; None after an error
    held: str | None = None  #: why it would be held; None if it would be attempted at once
    item: str | None = None  #: the place of its item; None: it is about the whole event
    group: Group | None = None  #: the group, by latest_by or once_by

    @property
    def dead_at_once(self) -> str:
        """That it would be dead at once, in words, and why."""
        return f"the delivery {self.rule}/{self.action} would be dead at once: {self.error}"

    def as_json(self) -> dict[str, Any]:
        """As `test --json` shows it."""
        shown: dict[str, Any] = {
            "rule": self.rule,
            "action": self.action,
            "type": self.type,
            "target": self.target,
            "order_key": self.order_key,
            "error": self.error,
        }
        if self.held is not None:
            shown["held"] = self.held
        if self.item is not None:
            shown["item"] = self.item
        if isinstance(self.group, Latest):
            shown |= {"latest_key": self.group.key}
            if self.group.wait_ms:
                shown |= {"wait_ms": self.group.wait_ms, "max_wait_ms": self.group.max_wait_ms}
        elif isinstance(self.group, Once):
            shown |= {"once_key": self.group.key, "within_ms": self.group.within_ms}
        if self.does is not None:
            shown[self.type] = self.does
        return shown


@dataclass(frozen=True, slots=True)
class PreviewedReply:
    """The answer to the sender once the event is stored."""

    rule: str | None  #: the rule with this `respond`; None: the source's
    status: int
    content_type: str | None
    headers: tuple[tuple[str, str], ...]
    body: str
    error: str | None = None  #: why the rule's `respond` can't be rendered; the sender then gets the usual answer

    def as_json(self) -> dict[str, Any]:
        """As `test --json` shows it."""
        return {
            "rule": self.rule,
            "status": self.status,
            "content_type": self.content_type,
            "headers": dict(self.headers),
            "body": self.body,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Preview:
    """The matched rules of one event, with its previewed deliveries."""

    matched: tuple[str, ...]  #: rule names, in file order
    deliveries: tuple[PreviewedDelivery, ...]
    errors: tuple[tuple[str, str], ...]  #: (rule, reason) of rules whose evaluation failed
    explained: tuple[ExplainedRule, ...] | None = None  #: if asked for
    source_disabled: bool = False  #: such a request would be answered 404
    respond: PreviewedReply | None = None  #: replaces 202 and the event's id; None: it does not
    answer: RespondFrom | None = None  #: the sender gets this action's answer, or `respond` when none comes

    def as_json(self) -> dict[str, Any]:
        """As `test --json` shows it."""
        shown: dict[str, Any] = {"matched": list(self.matched), "deliveries": [d.as_json() for d in self.deliveries]}
        if self.answer is not None:
            shown["answer"] = {
                "from": f"{self.answer.rule}/{self.answer.action}",
                "within_ms": round(self.answer.within * 1000),
                "otherwise": self.answer.otherwise is not None,
            }
        if self.source_disabled:
            shown["source_disabled"] = True
        if self.respond is not None:
            shown["respond"] = self.respond.as_json()
        if self.errors:
            shown["errors"] = [{"rule": rule, "error": reason} for rule, reason in self.errors]
        if self.explained is not None:
            shown["explain"] = [rule.as_json() for rule in self.explained]
        return shown


def body_of(payload: Any, content_type: str) -> bytes:
    """The payload written in its content type: a form, plain text, or JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded" and isinstance(payload, dict):
        return urlencode(payload, doseq=True).encode()
    if isinstance(payload, str) and "json" not in media_type:
        return payload.encode()
    return orjson.dumps(payload)


def made_event(
    source: Source,
    body: bytes,
    headers: Sequence[tuple[str, str]],
    query: str,
    content_type: str | None,
    now: int,
    *,
    method: str | None = None,
    ip: str = "127.0.0.1",
) -> Event:
    """The event of such a request to the source. Headers may repeat."""
    items = [(name, value) for name, value in headers if name.lower() != "content-type" or not content_type]
    if content_type:
        items.append(("Content-Type", content_type))
    method = method or source.methods[0]
    inbound = Inbound(source.name, method, source.path, query, tuple(items), body, ip, now)
    inbound = without_credentials(inbound)
    return Event(uuid7(now), source.name, method, source.path, query, inbound.headers, body, inbound.ip, now)


def preview(
    ruleset: Ruleset, event: Event, *, arriving: bool = False, explained: bool = False, most: int | None = None
) -> Preview:
    """Match, plan and render. With `explained` include the verdicts on all rules, or on the first `most`.

    `arriving`: check the event against all limits. A stored event has passed them. Raises PayloadError.
    """
    source = OWN_SOURCE if is_own(event) else ruleset.sources.get(event.source)
    parsed = parse_arriving(event, source) if arriving and source is not None else parse_event(event, source)
    match = ruleset.match(parsed)
    deliveries = tuple(preview_delivery(ruleset, action, parsed, item) for action, item in ruleset.planned(match))
    reasons = tuple(explain(ruleset, parsed, most)) if explained else None
    disabled = arriving and source is not None and not source.enabled
    respond = previewed_reply(match.rules, source, parsed)
    first = next((rule.respond for rule in match.rules if rule.respond is not None), None)
    answer = first if isinstance(first, RespondFrom) else None
    matched = tuple(rule.name for rule in match.rules)
    return Preview(matched, deliveries, match.errors, reasons, disabled, respond, answer)


def previewed_reply(rules: Sequence[Rule], source: Source | None, parsed: ParsedEvent) -> PreviewedReply | None:
    """The reply of the first rule with `respond`. If there is none, or it can't be rendered, the source's."""
    usual = source.respond if source is not None else None
    for rule in rules:
        respond = rule.respond.otherwise if isinstance(rule.respond, RespondFrom) else rule.respond
        if respond is not None:
            try:
                return _shown_reply(rule.name, respond.render(parsed))
            except RenderError as error:
                return _shown_reply(rule.name, usual or Reply(202, b""), str(error))
        if rule.respond is not None:
            break
    return None if usual is None else _shown_reply(None, usual)


def _shown_reply(rule: str | None, reply: Reply, error: str | None = None) -> PreviewedReply:
    body = reply.body.decode(errors="replace")
    return PreviewedReply(rule, reply.status, reply.content_type, tuple(reply.headers), body, error)


def preview_delivery(
    ruleset: Ruleset, action: RuleAction, parsed: ParsedEvent, item: Item | None, delivery_id: str | None = None
) -> PreviewedDelivery:
    """What an action would do with an event, or with an item of it. The delivery has a new id by default."""
    planned = action.plan(parsed, item)
    passing = ruleset.passing.get(parsed.event.source, frozenset())
    claim = _example_claim(planned, parsed.event, ruleset.hash, delivery_id)
    does, error = None, None
    try:
        does = action.action.preview(AttemptInput(claim, lambda: parsed, ruleset.secrets, passing))
    except RenderError as reason:
        error = str(reason)
    return PreviewedDelivery(
        planned.rule,
        planned.action,
        planned.type,
        planned.target,
        planned.order_key,
        error,
        does,
        f"target {planned.target} is paused" if action.action.target.paused else None,
        planned.item,
        planned.group,
    )


def _example_claim(planned: PlannedDelivery, event: Event, ruleset: str, delivery_id: str | None) -> Claim:
    """The first attempt at the delivery, as if it were stored."""
    delivery = Delivery(
        id=delivery_id or planned.id,
        seq=0,
        event_id=event.id,
        rule=planned.rule,
        action=planned.action,
        type=planned.type,
        target=planned.target,
        order_key=planned.order_key,
        ruleset=ruleset,
        state=State.PENDING,
        next_attempt_at=event.received_at,
        attempts=0,
        interruptions=0,
        first_attempt_at=None,
        created_at=event.received_at,
        item=planned.item,
        item_index=planned.item_index,
    )
    return Claim("", delivery, event, 1)
