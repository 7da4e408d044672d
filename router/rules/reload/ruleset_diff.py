"""The difference between two rulesets, by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from router.rules.ruleset import Ruleset

MOST_NAMES = 20  #: of each list in a log line; the others are counted


@dataclass(frozen=True, slots=True)
class RulesetDiff:
    """How one ruleset differs from the one before it."""

    added: tuple[str, ...] = ()  #: rules
    removed: tuple[str, ...] = ()  #: rules
    changed: tuple[str, ...] = ()  #: rules whose part of the file differs
    besides: tuple[str, ...] = ()  #: other parts: `sources.github`, `defaults`, `secret file token`, `order of rules`

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.besides)

    def fields(self) -> dict[str, Any]:
        """The fields of a log line: the first names of each kind, and their number if there are more."""
        found: dict[str, Any] = {}
        for kind in ("added", "removed", "changed", "besides"):
            names: Sequence[str] = getattr(self, kind)
            found[kind] = list(names[:MOST_NAMES])
            if len(names) > MOST_NAMES:
                found[f"{kind}_in_all"] = len(names)
        return found


def compare(old: Ruleset, new: Ruleset) -> RulesetDiff:
    """Compare two rulesets."""
    before = {rule.name: rule.digest for rule in old.rules}
    after = {rule.name: rule.digest for rule in new.rules}
    return RulesetDiff(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and after[name] != before[name]),
        besides=(*_besides(old, new), *_order(before, after)),
    )


def _besides(old: Ruleset, new: Ruleset) -> list[str]:
    found = [
        name
        for name in dict.fromkeys((*new.sections, *old.sections))
        if new.sections.get(name) != old.sections.get(name)
    ]
    for name, secret in new.used_secrets.items():
        before = old.used_secrets.get(name)
        # A secret without `before` is new; the part that names it is listed as changed.
        if before is not None and (before.is_set, secret.is_set) != (False, False) and not secret.has_value_of(before):
            found.append(f"secret {name}")
    if old.text.base_dir != new.text.base_dir:
        found.append("folder that paths start from")
    return found


def _order(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Whether the order of the rules changed. Rules are tried in file order, so another order may change the
    meaning."""
    same = [name for name in before if name in after] == [name for name in after if name in before]
    return [] if same else ["order of rules"]
