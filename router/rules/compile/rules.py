"""Compiles the `rules` and the `unmatched` of a rules file."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from router.domain.events import UNMATCHED
from router.domain.nearest_word import shortened
from router.domain.retry_policy import RetryPolicy
from router.plugins.action import Action
from router.plugins.build import RuleFacts
from router.plugins.entry_points import ACTIONS as ACTIONS_GROUP
from router.plugins.target import TargetSpec
from router.rules.compile.context import LoadContext
from router.rules.compile.documents import Document, Place
from router.rules.compile.field_key import load_field
from router.rules.compile.for_each import check_item_names, load_for_each
from router.rules.compile.forbidden import ForbiddenAction
from router.rules.compile.grouping import GROUP_KEYS, load_grouping
from router.rules.compile.match import parse_match
from router.rules.compile.request_headers import check_read_headers
from router.rules.compile.respond import RespondFrom, RuleRespond, load_respond_from, load_rule_respond
from router.rules.compile.respond_from import check_respond_from
from router.rules.compile.retry import load_retry, policy
from router.rules.compile.rule_sources import known_conditions, load_rule_sources
from router.rules.compile.scope import Scope
from router.rules.compile.unreachable import warn_of_unreachable
from router.rules.compile.unsigned import warn_of_unsigned
from router.rules.match.conditions import All, Condition, headers_of
from router.rules.match.fields import AnyField
from router.rules.match.hints import unknown_action
from router.rules.own_source import OWN_SOURCE
from router.rules.rule import Rule, RuleAction
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath, unknown_key
from router.rules.yaml.nodes import MappingNode, ScalarNode
from router.rules.yaml.schema import RuleOptions
from router.runtime.pacing import yield_turn

ACTION_KEYS = ("name", "enabled", "retry", "order_by", *GROUP_KEYS)  #: the keys of an action besides its type
ACTION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def load_rules(context: LoadContext, documents: Sequence[Document]) -> list[Rule]:
    """Compile the rules of all documents, without those that have errors."""
    rules: list[Rule] = []
    compiled: list[NodePath] = []
    for document in documents:
        node_path = document.root.at("rules")
        if not document.root.has("rules") or not node_path.expect_list("rules"):
            continue
        context.document = document
        for item in node_path.items():
            yield_turn()
            rule = _rule(context, item)
            if rule is not None:
                rules.append(rule)
                compiled.append(item)
    warn_of_unreachable(compiled, rules)
    return rules


def load_unmatched(context: LoadContext, node_path: NodePath) -> list[RuleAction]:
    """Compile the actions for events that no rule matched."""
    open_sources = [name for name, source in context.sources.items() if not source.verifier.verifies]
    check_read_headers(node_path)
    check_item_names(node_path, "an event that no rule matched has no item")
    sources = frozenset(context.sources)
    facts = RuleFacts(allow_code=None, open_path=_has_patterns(context, sources))
    scope = _scope(context, sources)
    return _actions(context, UNMATCHED, node_path, open_sources, "verify its senders", facts, scope)


def _rule(context: LoadContext, node_path: NodePath) -> Rule | None:
    if isinstance(node_path.node, MappingNode) and isinstance(node_path.at("name").data, str):
        node_path = node_path.named(node_path.at("name").data)
    options = read(node_path, RuleOptions)
    if not isinstance(node_path.node, MappingNode):
        return None
    # After an error, continue as far as possible, to report all problems of a rule at once.
    name = options.name if options else node_path.path
    written = node_path.at("name").data if node_path.has("name") else None
    if isinstance(written, str) and written:
        _check_name(context, node_path, written)
    sources = load_rule_sources(context, node_path)
    scope = replace(_scope(context, sources), has_item=node_path.has("for_each"))
    condition = _condition(context, node_path, sources, scope)
    open_sources = [s for s in sorted(sources) if not context.source(s).verifier.verifies]
    if node_path.at("allow_unverified").data is True:
        open_sources = []
    actions: list[RuleAction] = []
    if node_path.has("actions"):
        cure = "verify its senders, or write allow_unverified: true"
        facts = RuleFacts(
            node_path.at("allow_code").data is True,
            headers_of(condition),
            _has_patterns(context, sources),
            scope.has_item,
        )
        actions = _actions(context, name, node_path.at("actions"), open_sources, cure, facts, scope)
    for key in ("actions", "respond"):
        if node_path.has(key):
            check_read_headers(node_path.at(key))
    dangers = [danger for action in actions if (danger := context.registries.danger(action.action.type))]
    warn_of_unsigned(node_path, {s: context.source(s) for s in sources}, condition, dangers)
    _check_item(node_path, has_item=scope.has_item)
    found = load_for_each(node_path, condition)
    if not node_path.has("actions") and not node_path.has("respond"):
        node_path.error('missing "actions"; a rule without actions needs respond')
        return None
    if options is None:
        return None
    if sources and all(context.source(name) is OWN_SOURCE for name in sources) and node_path.has("respond"):
        node_path.key_error("respond", "an event of the router itself has no sender to answer; remove respond")
    if sources and all(context.source(one).poll is not None for one in sources) and node_path.has("respond"):
        node_path.key_error("respond", "nobody waits for an answer of a polled source; remove respond")
    if options.stop and context.bounds is not None:
        node_path.at("stop").error(
            f"stop would hide events from rules of other files, so only: of {context.bounds.path} forbids it here; "
            "remove stop"
        )
    respond = _respond(context, node_path, name, options.respond)
    if isinstance(respond, RespondFrom):
        check_respond_from(context, node_path, respond, actions, open_sources)
    if not options.enabled:
        node_path.at("enabled").note("the rule is disabled; deliveries that wait for it are held")
    return Rule(
        name,
        sources,
        condition,
        tuple(action for action in actions if action.enabled),
        options.stop,
        respond,
        node_path.digest,
        found,
        options.enabled,
        tuple(action for action in actions if not action.enabled),
    )


def _respond(context: LoadContext, node_path: NodePath, name: str, written: Any) -> RuleRespond | RespondFrom | None:
    at, secrets = node_path.at("respond"), context.allowed_secrets()
    if isinstance(written, dict) and "from" in written:
        return load_respond_from(at, written, name, secrets)
    return load_rule_respond(at, written, secrets)


def _check_item(node_path: NodePath, *, has_item: bool) -> None:
    if node_path.has("actions") and not has_item:
        check_item_names(node_path.at("actions"), 'only a rule with for_each has an item: for_each: "$.list[*]"')
    if node_path.has("respond"):
        check_item_names(node_path.at("respond"), "one answer is for all items; read payload instead")


def _check_name(context: LoadContext, node_path: NodePath, name: str) -> None:
    at = node_path.at("name")
    if name == UNMATCHED:
        at.error(f'"{UNMATCHED}" is reserved for the events that no rule matched; choose another name')
    elif not name.isprintable() or "/" in name or name != name.strip() or len(name) > 128:
        at.error(
            f'"{shortened(name)}" is not a rule name; write up to 128 printable characters, no /, no spaces at the ends'
        )
    elif (first := context.places.get(("rules", name))) is not None:
        at.error(f'duplicate rule name "{shortened(name)}"; it is {first.seen_from(at)} already')
    context.places.setdefault(("rules", name), Place(at.report.file, at.node.line))


def _scope(context: LoadContext, sources: frozenset[str]) -> Scope:
    patterns = [context.source(name).pattern for name in sources]
    names = frozenset(name for pattern in patterns if pattern is not None for name in pattern.names)
    found = [context.source(name).redact for name in sources]
    fields = [redact.fields for redact in found if redact is not None]
    redacted = frozenset[str].intersection(*fields) if fields and len(fields) == len(found) else frozenset[str]()
    return Scope(zone=context.zone, params=names, redacted=redacted)


def _has_patterns(context: LoadContext, sources: frozenset[str]) -> bool:
    return any(context.source(name).pattern is not None for name in sources)


def _condition(context: LoadContext, node_path: NodePath, sources: frozenset[str], scope: Scope) -> Condition:
    match = node_path.at("match")
    if not node_path.has("match"):
        return All(())
    if isinstance(match.node, ScalarNode):
        cure = match.space_hint() or "; leave match out to match every event"
        match.error(f"expected a mapping of fields, found {match.found()}{cure}")
        return All(())
    return parse_match(match, scope, known=known_conditions(context, sources))


def _actions(
    context: LoadContext,
    rule: str,
    node_path: NodePath,
    open_sources: Iterable[str],
    cure: str,
    facts: RuleFacts,
    scope: Scope,
) -> list[RuleAction]:
    if not node_path.expect_list("actions"):
        return []
    actions: dict[str, RuleAction] = {}
    for item in node_path.items():
        yield_turn()
        action = _action(context, rule, item, facts, scope)
        if action is None:
            continue
        if action.name in actions:
            named = item.has("name")
            item.at("name" if named else action.action.type).error(
                f'duplicate action name "{action.name}" in this rule'
                + ("" if named else "; an action without name: has that of its type, so add name: to one")
            )
        danger = context.registries.danger(action.action.type)
        for source in open_sources if danger else ():
            item.key_error(action.action.type, _unverified(context, source, danger, cure))
        actions.setdefault(action.name, action)
    return list(actions.values())


def _unverified(context: LoadContext, source: str, danger: str | None, cure: str) -> str:
    if context.source(source).poll is not None:
        cure = cure.replace("verify its senders", "write https://")
        return f'source "{source}" is polled without TLS, so anybody on the way could {danger}; {cure}'
    return f'source "{source}" has verify: none, so anybody could {danger}; {cure}'


def _action(context: LoadContext, rule: str, node_path: NodePath, facts: RuleFacts, scope: Scope) -> RuleAction | None:
    if not node_path.expect_mapping("one action: " + ", ".join(context.registries.actions)):
        return None
    types = [key for key, _ in node_path.entries() if key in context.registries.actions]
    unknown = [key for key, _ in node_path.entries() if key not in types and key not in ACTION_KEYS]
    if context.recorded and not types and len(unknown) == 1:
        return _of_missing_plugin(rule, node_path, unknown[0], facts)
    for key in unknown:
        node_path.key_error(key, _unknown_key(context, key, types))
    if unknown and not types:
        return None  # one of the unknown keys was meant as the type
    if len(types) != 1:
        wanted = ", ".join(context.registries.actions)
        found = f"found {' and '.join(types)}; write them as separate actions" if types else "found none of them"
        node_path.error(f"expected exactly one of {wanted}; {found}")
        return None
    if context.bounds is not None and not context.bounds.allows("actions", types[0]):
        node_path.key_error(types[0], context.bounds.refusal("actions", types[0]))
    name = _action_name(node_path, types[0])
    enabled = _is_enabled(node_path)
    order_by = _order_by(node_path, scope)
    grouping = load_grouping(node_path, scope)
    action = _compile(context, types[0], f"{rule}/{name}", node_path.at(types[0]), facts)
    retry = _retry(context, node_path, types[0], action)
    if action is None:
        return None
    digest = node_path.at(types[0]).digest
    return RuleAction(rule, name, action, retry, order_by, facts.has_item, enabled, digest, grouping)


def _of_missing_plugin(rule: str, node_path: NodePath, type_: str, facts: RuleFacts) -> RuleAction:
    """An action of recorded rules whose plugin is no longer installed. Only this action fails."""
    name = _action_name(node_path, type_)
    reason = f'the plugin of action "{type_}" is not installed, or can\'t be used'
    action = ForbiddenAction(type_, TargetSpec(f"{rule}/{name}", 1), reason)
    return RuleAction(rule, name, action, RetryPolicy(), None, facts.has_item, _is_enabled(node_path))


def _is_enabled(node_path: NodePath) -> bool:
    if not node_path.has("enabled"):
        return True
    at = node_path.at("enabled")
    if not isinstance(at.data, bool):
        cure = "; remove the quotes" if at.data in ("true", "false") else ""
        at.error(f"expected true or false, found {at.found()}{cure}")
        return True
    if at.data is False:
        at.note("the action is disabled; deliveries that wait for it are held")
    return bool(at.data)


def _unknown_key(context: LoadContext, key: str, types: list[str]) -> str:
    if not types and (broken := context.registries.broken_plugin(ACTIONS_GROUP, key)) is not None:
        return broken
    for type_ in types or context.registries.actions:
        if key in context.registries.actions[type_].options.model_fields:
            return f'unknown key "{key}" here; it belongs inside {type_}: {{ … }}'
    of_others = None if types else unknown_action(key, [one.hints for one in context.registries.actions.values()])
    return of_others or unknown_key(key, (*context.registries.actions, *ACTION_KEYS))


def _action_name(node_path: NodePath, type_: str) -> str:
    if not node_path.has("name"):
        return type_
    name = node_path.at("name").expect_text("a name")
    if name is not None and not ACTION_NAME.fullmatch(name):
        at = node_path.at("name")
        at.error(f'"{shortened(name)}" is not an action name; write up to 64 letters, digits, . _ and -')
    return name or type_


def _compile(context: LoadContext, type_: str, name: str, node_path: NodePath, facts: RuleFacts) -> Action | None:
    action_type = context.registries.actions[type_]
    values = node_path.data
    if not isinstance(node_path.node, MappingNode):
        key = action_type.short_forms.get(type(values))
        if key is None or not values:
            forms = ["text" if short is str else "a list" for short in action_type.short_forms]
            hint = action_type.value_hints.get(type(values), "")
            wanted = " or ".join([*forms, "a mapping"])
            node_path.error(f"expected {wanted}, found {node_path.found()}{hint and f'; {hint}'}")
            return None
        values = {key: values}
    options = read(node_path, action_type.options, values)
    if options is None:
        return None
    build = context.build(name, node_path, facts, sends=True)
    action = action_type.compile(options, build)
    if (reason := context.forbidden_by(build)) is not None:
        action = ForbiddenAction(type_, action.target, reason)
    elif context.report_faults(build, node_path):
        return None
    _check_target(context, node_path, action)
    _share_target(context, node_path, action)
    return action


def _check_target(context: LoadContext, node_path: NodePath, action: Action) -> None:
    """Check `only.targets`: it limits actions of the types that go to targets by name or url."""
    bounds = context.bounds
    if bounds is None or context.registries.actions[action.type].check_target_url is None:
        return
    if not bounds.allows("targets", action.target.key):
        at = node_path.at("target" if node_path.has("target") else "url")
        at.error(bounds.refusal("targets", shortened(action.target.key)))


def _share_target(context: LoadContext, node_path: NodePath, action: Action) -> None:
    """Actions that share a target must agree on its limits."""
    target = action.target
    context.used_targets.add(target.key)
    first = context.target_limits.setdefault(target.key, target)
    if first != target:
        node_path.error(
            f"another action goes to {shortened(target.key)} with other limits (concurrency, rate, breaker); "
            "define it once under targets: and name it in both"
        )


def _retry(context: LoadContext, node_path: NodePath, type_: str, action: Action | None) -> RetryPolicy:
    """The retry policy: the type's, then the file's defaults, then the target's, then the action's. Later ones win key
    by key."""
    action_type = context.registries.actions[type_]
    own = load_retry(node_path.at("retry"), action_type.causes) if node_path.has("retry") else None
    of_target = context.target_retry.get(action.target.key) if action else None
    made = policy(action_type, [layer for layer in (context.retry, of_target, own) if layer is not None])
    if own is not None and own.on and made.attempts == 1:
        of_type = (
            " (the default of this type)"
            if "attempts" in action_type.retry_defaults and not own.options.attempts
            else ""
        )
        own.node_path.at("on").warn(f"this changes nothing while attempts is 1{of_type}; raise attempts")
    return made


def _order_by(node_path: NodePath, scope: Scope) -> AnyField | None:
    if not node_path.has("order_by"):
        return None
    at = node_path.at("order_by")
    text = at.expect_text("a field such as $.repository.id")
    return load_field(at, text, scope) if text is not None else None
