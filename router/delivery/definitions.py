"""Which definition of an action a delivery follows: the current one, or the one that planned it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from router.domain.deliveries import Delivery, RulesetText
from router.domain.errors import RulesError
from router.rules.rule import RuleAction
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.store.contract import Store

_KEPT = 16  #: recorded rulesets that stay compiled; few deliveries wait through more reloads

Compile = Callable[[RulesetText], Ruleset]
"""Compile a recorded ruleset; raises RulesError when it doesn't compile any more."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of an action, and its rules."""

    action: RuleAction
    ruleset: Ruleset  #: the rules that the action belongs to


class Definitions:
    """Finds definitions. Belongs to the delivery loop."""

    def __init__(self, current: CurrentRuleset, store: Store, compile_recorded: Compile) -> None:
        self._current = current
        self._store = store
        self._compile = compile_recorded
        self._recorded: OrderedDict[str, asyncio.Future[Ruleset]] = OrderedDict()

    async def of(self, delivery: Delivery, fleet_rules: str | None = None) -> Definition | str:
        """The definition, or the reason why none can be used.

        The current rules win while name, type and `for_each` agree, so that a corrected URL helps deliveries that wait.
        A node whose rules are older than the fleet's goes by the fleet's, as far as it can compile their text.
        """
        ruleset = self._current.ruleset
        if fleet_rules not in (None, ruleset.hash):
            newer = await self._ruleset(str(fleet_rules))
            ruleset = ruleset if isinstance(newer, str) else newer
        action = ruleset.actions.get((delivery.rule, delivery.action))
        if action is not None and _defines(action, delivery):
            return Definition(action, ruleset)
        recorded = await self._ruleset(delivery.ruleset)
        if isinstance(recorded, str):
            return recorded
        action = recorded.actions.get((delivery.rule, delivery.action))
        if action is None or not _defines(action, delivery):
            return f"neither the current rules nor those that planned it define {delivery.rule}/{delivery.action}"
        return Definition(action, recorded)

    async def _ruleset(self, ruleset_hash: str) -> Ruleset | str:
        future = self._recorded.get(ruleset_hash)
        if future is None:
            future = asyncio.ensure_future(asyncio.to_thread(self._load, ruleset_hash))
            self._recorded[ruleset_hash] = future
            while len(self._recorded) > _KEPT:
                self._recorded.popitem(last=False)
        try:
            return await asyncio.shield(future)
        except UncompilableError as error:
            return str(error)
        except Exception:
            self._recorded.pop(ruleset_hash, None)  # so that the next call reads the store again
            raise

    def _load(self, ruleset_hash: str) -> Ruleset:
        text = self._store.ruleset(ruleset_hash)
        if text is None:
            raise UncompilableError(f"the rules that planned it ({ruleset_hash[:12]}) are not in the store")
        try:
            return self._compile(text)
        except RulesError as error:
            raise UncompilableError(f"the rules that planned it don't compile any more: {error.problems[0]}") from None


def _defines(action: RuleAction, delivery: Delivery) -> bool:
    """Whether the action is of the delivery's type, and, as the delivery is, of items or of whole events."""
    return action.action.type == delivery.type and action.for_each is (delivery.item is not None)


class UncompilableError(Exception):
    """Recorded rules that can't be used any more; the text says why."""
