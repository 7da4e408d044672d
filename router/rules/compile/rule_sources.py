"""The sources that a rule listens to, and the conditions that hold for all their events."""

import re
from collections.abc import Set

from router.domain.nearest_word import did_you_mean, known_words, shortened
from router.domain.own_events import KINDS, SOURCE
from router.domain.work_budget import spend
from router.rules.compile.context import LoadContext
from router.rules.compile.match import field_is_one_of
from router.rules.match.conditions import Condition
from router.rules.own_source import OWN_SOURCE
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import SequenceNode

MAX_LISTENING = 10_000_000  #: sources that all rules together listen to, such as 10,000 rules with 1,000 sources each
_GLOB = re.compile(r"[*?\[]")


def load_rule_sources(context: LoadContext, node_path: NodePath) -> frozenset[str]:
    """The names of the sources that the rule listens to; empty after an error."""
    at = node_path.at("source")
    document = context.document
    if not node_path.has("source") and document is not None and document.is_included and not document.of_folder:
        node_path.error("missing source; a rule of an included file names its sources, since other files may add some")
        return frozenset()
    if not node_path.has("source"):
        if len(context.sources) > 1:
            node_path.error('missing source; there are several, so name one, a list, or "*" for every source')
        return frozenset(context.sources)
    if context.listened_sources > MAX_LISTENING:
        return frozenset()
    names = list(at.items()) if isinstance(at.node, SequenceNode) and at.node.items else [at]
    found: set[str] = set()
    for one in names:
        text = one.expect_text('a source\'s name, a glob or "*"')
        if text is not None:
            found |= _named_sources(context, one, text)
    context.listened_sources += len(found)
    if context.listened_sources > MAX_LISTENING:
        at.error(f"the rules listen to more than {MAX_LISTENING:,} sources, each counted for each rule; split the file")
        return frozenset()
    sources = frozenset(found)
    return context.source_sets.setdefault(sources, sources)


def _hint(context: LoadContext, text: str) -> str:
    near = did_you_mean(text, [SOURCE])
    return near if near.endswith("?") and SOURCE not in context.sources else did_you_mean(text, context.sources)


def _named_sources(context: LoadContext, node_path: NodePath, text: str) -> Set[str]:
    if not _GLOB.search(text):
        if text == SOURCE and text not in context.sources and text not in context.broken_sources:
            return _own_events(context, node_path)
        if text not in context.sources and text not in context.broken_sources:
            node_path.error(f'undefined source "{shortened(text)}"{_hint(context, text)}')
        elif context.bounds is not None and not context.bounds.allows("sources", text):
            node_path.error(context.bounds.refusal("sources", text))
        return {text} if text in context.sources else set()
    found: Set[str] = context.sources_like(text)
    bounds = context.bounds
    if bounds is not None:  # "*" means the sources that the file may use
        found = {name for name in found if bounds.allows("sources", name)}
    if not found and not context.broken_sources:
        known = f"; {known_words(context.sources)}" if spend("suggestions") else ""
        node_path.error(f'no source has a name like "{shortened(text)}"{known}')
    return found


def _own_events(context: LoadContext, node_path: NodePath) -> Set[str]:
    """The router's own events. A file with bounds may use them only if its bounds name them; a glob is not enough."""
    bounds = context.bounds
    if bounds is not None and bounds.sources is not None and SOURCE not in bounds.sources:
        node_path.error(bounds.refusal("sources", SOURCE))
    return {SOURCE}


def known_conditions(context: LoadContext, sources: frozenset[str]) -> list[Condition]:
    """Conditions that hold for every event of the sources."""
    if sources and sources not in context.known:
        found = [context.source(name) for name in sources]
        methods = {method for source in found for method in source.methods}
        values = {"source": set(sources), "method": methods}
        if all(source.pattern is None for source in found):
            values["path"] = {source.path for source in found}
        if SOURCE in sources and len(sources) == 1 and found[0] is OWN_SOURCE:
            values["$.kind"] = set(KINDS)
        context.known[sources] = [field_is_one_of(name, sorted(texts)) for name, texts in values.items()]
    return context.known.get(sources, [])
