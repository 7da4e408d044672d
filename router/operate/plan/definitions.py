"""Finds out whether two rulesets define an action alike. Then its deliveries need not be rendered."""

from dataclasses import dataclass, field

from router.rules.rule import RuleAction
from router.rules.ruleset import Ruleset

ActionKey = tuple[str, str]
"""Rule and action name."""


@dataclass
class Definitions:
    """Compares the actions of two rulesets, each pair once."""

    before: Ruleset
    after: Ruleset
    _same: dict[tuple[ActionKey, ActionKey, str], bool] = field(default_factory=dict)

    def same(self, one: RuleAction, other: RuleAction, source: str) -> bool:
        """Whether both do the same with an event of the source. The names of rule and action don't matter."""
        key = ((one.rule, one.name), (other.rule, other.name), source)
        found = self._same.get(key)
        if found is None:
            found = self._same[key] = self._passing(source) and _fingerprint(self.before, one) == _fingerprint(
                self.after, other
            )
        return found

    def _passing(self, source: str) -> bool:
        """Whether forwards pass on the same headers of the source."""
        return self.before.passing.get(source) == self.after.passing.get(source)


def _fingerprint(ruleset: Ruleset, action: RuleAction) -> tuple[object, ...]:
    """Everything that decides about the deliveries of an action, besides the event and the values of secrets."""
    target = action.action.target
    own = target.key == f"{action.rule}/{action.name}"
    order = None if action.order_by is None else action.order_by.text
    return (
        action.action.type,
        type(action.action),  # a recorded action that a guard forbids has another class
        action.digest,
        None if own else target.key,
        ruleset.sections.get(f"targets.{target.key}"),
        ruleset.sections.get("timezone"),
        order,
    )
