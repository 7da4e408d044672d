"""Compiles the actions of a rule, and those of `unmatched`."""

import re
from collections.abc import Iterable

from router.domain.nearest_word import shortened
from router.domain.retry_policy import RetryPolicy
from router.plugins.action import Action
from router.plugins.build import RuleFacts
from router.plugins.entry_points import ACTIONS as ACTIONS_GROUP
from router.plugins.target import TargetSpec
from router.rules.compile.context import LoadContext
from router.rules.compile.field_key import load_field
from router.rules.compile.forbidden import ForbiddenAction
from router.rules.compile.grouping import GROUP_KEYS, load_grouping
from router.rules.compile.retry import load_retry, policy
from router.rules.compile.scope import Scope
from router.rules.match.fields import AnyField
from router.rules.match.hints import unknown_action
from router.rules.rule import RuleAction
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath, unknown_key
from router.rules.yaml.nodes import MappingNode
from router.runtime.pacing import yield_turn

ACTION_KEYS = ("name", "enabled", "retry", "order_by", *GROUP_KEYS)  #: the keys of an action besides its type
ACTION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def load_actions(
    context: LoadContext,
    rule: str,
    node_path: NodePath,
    open_sources: Iterable[str],
    cure: str,
    facts: RuleFacts,
    scope: Scope,
) -> list[RuleAction]:
    """Compile a list of actions.

    `open_sources` verify no sender; `cure` says what to do about that, for an action that may then be dangerous.
    """
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
