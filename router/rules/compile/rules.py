"""Compiles the `rules` and the `unmatched` of a rules file."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from router.domain.events import UNMATCHED
from router.domain.nearest_word import shortened
from router.plugins.build import RuleFacts
from router.rules.compile.actions import load_actions
from router.rules.compile.context import LoadContext
from router.rules.compile.documents import Document, Place
from router.rules.compile.for_each import check_item_names, load_for_each
from router.rules.compile.match import parse_match
from router.rules.compile.request_headers import check_read_headers
from router.rules.compile.respond import RespondFrom, RuleRespond, load_respond_from, load_rule_respond
from router.rules.compile.respond_from import check_respond_from
from router.rules.compile.rule_sources import known_conditions, load_rule_sources
from router.rules.compile.scope import Scope
from router.rules.compile.unreachable import warn_of_unreachable
from router.rules.compile.unsigned import warn_of_unsigned
from router.rules.match.conditions import All, Condition, headers_of
from router.rules.own_source import OWN_SOURCE
from router.rules.rule import Rule, RuleAction
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, ScalarNode
from router.rules.yaml.schema import RuleOptions
from router.runtime.pacing import yield_turn


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
    return load_actions(context, UNMATCHED, node_path, open_sources, "verify its senders", facts, scope)


def _rule(context: LoadContext, node_path: NodePath) -> Rule | None:
    """One rule. After an error it continues as far as possible, to report all problems of the rule at once."""
    if isinstance(node_path.node, MappingNode) and isinstance(node_path.at("name").data, str):
        node_path = node_path.named(node_path.at("name").data)
    options = read(node_path, RuleOptions)
    if not isinstance(node_path.node, MappingNode):
        return None
    name = options.name if options else node_path.path
    _check_name(context, node_path)
    sources = load_rule_sources(context, node_path)
    scope = replace(_scope(context, sources), has_item=node_path.has("for_each"))
    condition = _condition(context, node_path, sources, scope)
    open_sources = _open_sources(context, node_path, sources)
    actions = _rule_actions(context, name, node_path, sources, open_sources, condition, scope)
    _check_reads(node_path, has_item=scope.has_item)
    dangers = [danger for action in actions if (danger := context.registries.danger(action.action.type))]
    warn_of_unsigned(node_path, {s: context.source(s) for s in sources}, condition, dangers)
    found = load_for_each(node_path, condition)
    if not node_path.has("actions") and not node_path.has("respond"):
        node_path.error('missing "actions"; a rule without actions needs respond')
        return None
    if options is None:
        return None
    _check_options(context, node_path, options, sources)
    respond = _respond(context, node_path, name, options.respond)
    if isinstance(respond, RespondFrom):
        check_respond_from(context, node_path, respond, actions, open_sources)
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


def _open_sources(context: LoadContext, node_path: NodePath, sources: frozenset[str]) -> list[str]:
    """The sources that verify no sender, unless the rule allows that."""
    if node_path.at("allow_unverified").data is True:
        return []
    return [name for name in sorted(sources) if not context.source(name).verifier.verifies]


def _rule_actions(
    context: LoadContext,
    name: str,
    node_path: NodePath,
    sources: frozenset[str],
    open_sources: Sequence[str],
    condition: Condition,
    scope: Scope,
) -> list[RuleAction]:
    if not node_path.has("actions"):
        return []
    may_code = node_path.at("allow_code").data is True
    facts = RuleFacts(may_code, headers_of(condition), _has_patterns(context, sources), scope.has_item)
    cure = "verify its senders, or write allow_unverified: true in the rule"
    return load_actions(context, name, node_path.at("actions"), open_sources, cure, facts, scope)


def _check_reads(node_path: NodePath, *, has_item: bool) -> None:
    """Check the headers and the item that templates read."""
    for key in ("actions", "respond"):
        if node_path.has(key):
            check_read_headers(node_path.at(key))
    if node_path.has("actions") and not has_item:
        check_item_names(node_path.at("actions"), 'only a rule with for_each has an item: for_each: "$.list[*]"')
    if node_path.has("respond"):
        check_item_names(node_path.at("respond"), "one answer is for all items; read payload instead")


def _check_options(context: LoadContext, node_path: NodePath, options: RuleOptions, sources: frozenset[str]) -> None:
    """Check what fits only some sources or files, and note a disabled rule."""
    if sources and node_path.has("respond"):
        if all(context.source(name) is OWN_SOURCE for name in sources):
            node_path.key_error("respond", "an event of the router itself has no sender to answer; remove respond")
        if all(context.source(name).poll is not None for name in sources):
            node_path.key_error("respond", "nobody waits for an answer of a polled source; remove respond")
    if options.stop and context.bounds is not None:
        node_path.at("stop").error(
            f"stop would hide events from rules of other files, so only: of {context.bounds.path} forbids it here; "
            "remove stop"
        )
    if not options.enabled:
        node_path.at("enabled").note("the rule is disabled; deliveries that wait for it are held")


def _respond(context: LoadContext, node_path: NodePath, name: str, written: Any) -> RuleRespond | RespondFrom | None:
    at, secrets = node_path.at("respond"), context.allowed_secrets()
    if isinstance(written, dict) and "from" in written:
        return load_respond_from(at, written, name, secrets)
    return load_rule_respond(at, written, secrets)


def _check_name(context: LoadContext, node_path: NodePath) -> None:
    at = node_path.at("name")
    name = at.data if node_path.has("name") else None
    if not isinstance(name, str) or not name:
        return
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
