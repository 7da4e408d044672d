"""Warns of rules that no event reaches."""

from collections.abc import Sequence

from router.rules.match.conditions import All
from router.rules.rule import Rule
from router.rules.yaml.node_path import NodePath


def warn_of_unreachable(node_paths: Sequence[NodePath], rules: Sequence[Rule]) -> None:
    """Warn of rules that can't match, since rules above them stop every event of their sources."""
    stopped: dict[str, str] = {}
    for at, rule in zip(node_paths, rules, strict=True):
        if not rule.enabled:
            continue
        if rule.sources and all(source in stopped for source in rule.sources):
            blocker = stopped[min(rule.sources)]
            at.named(rule.name).warn(f'this can\'t match: rule "{blocker}" above stops every event of its sources')
        if rule.stop and rule.for_each is None and rule.condition == All(()):
            stopped.update(dict.fromkeys(rule.sources - stopped.keys(), rule.name))
