"""Checks `respond: {from: ACTION}` against the rule's actions and sources."""

from collections.abc import Sequence

from router.domain.nearest_word import did_you_mean
from router.rules.compile.context import LoadContext
from router.rules.compile.respond import RespondFrom
from router.rules.grouping import LatestBy
from router.rules.rule import RuleAction
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import SequenceNode


def check_respond_from(
    context: LoadContext,
    node_path: NodePath,
    respond: RespondFrom,
    actions: Sequence[RuleAction],
    open_sources: Sequence[str],
) -> None:
    """Report why the action can't answer. `open_sources`: the rule's unverified sources, if it does not allow them."""
    at = node_path.at("respond", "from")
    if node_path.has("for_each"):
        at.error(
            "a rule with for_each can't answer from an action: the sender gets one answer for all items; write a body"
        )
    for source in open_sources:
        at.error(
            f'source "{source}" has verify: none, so anybody could read what the action answers; verify its senders, '
            "or write allow_unverified: true in the rule"
        )
    action = next((one for one in actions if one.name == respond.action), None)
    if action is None and respond.action in _written_names(context, node_path):
        return  # the action has errors of its own
    if action is None:
        names = [one.name for one in actions]
        known = did_you_mean(respond.action, names) or (f"; it has {', '.join(names)}" if names else "")
        at.error(f'this rule has no action "{respond.action}"{known}')
        return
    if not context.registries.actions[action.action.type].answers:
        able = [name for name, one in context.registries.actions.items() if one.answers]
        at.error(f"{action.action.type} answers nothing; name an action of type {' or '.join(able)}")
    if isinstance(action.grouping, LatestBy) and action.grouping.wait_ms:
        at.error("this action waits before it begins, longer than a sender does; remove its wait, or write a body")
    if not action.enabled:
        at.note("the action is disabled; the sender gets the answer of otherwise")


def _written_names(context: LoadContext, node_path: NodePath) -> set[str]:
    """The names of all actions of the rule, including those with errors."""
    actions = node_path.at("actions")
    if not isinstance(actions.node, SequenceNode):
        return set()
    written: set[str] = set()
    for item in actions.items():
        name = item.at("name").data if item.has("name") else None
        written |= {name} if isinstance(name, str) else {key for key in context.registries.actions if item.has(key)}
    return written
