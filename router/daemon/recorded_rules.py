"""The texts of rulesets in the store: kept before their rules run, compiled again for deliveries that outlive them."""

from dataclasses import dataclass, replace

from router.daemon.wall_clock import now_ms
from router.domain.deliveries import RulesetText
from router.domain.errors import StoreError
from router.rules.compile.loader import Loader
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.store.contract import Store

_RECORD_SECONDS = 10.0  #: how long a start or reload waits for the ruleset's text to be on disk


@dataclass(frozen=True, slots=True)
class RecordedRules:
    """Stores and compiles the texts of rulesets. Any thread may call it."""

    store: Store
    loader: Loader
    current: CurrentRuleset

    def record(self, ruleset: Ruleset) -> None:
        """Keep the ruleset's text: deliveries name it by hash, and it must be there before they are. Raises
        StoreError."""
        try:
            self.store.put_ruleset(ruleset.text, now_ms()).result(_RECORD_SECONDS)
        except TimeoutError:
            raise StoreError("the store did not take the rules' text in time; is its disk slow or full?") from None

    def compile(self, text: RulesetText) -> Ruleset:
        """Compile recorded rules. Raises RulesError. A missing secret is no error here: the attempt that needs it
        fails."""
        loader = replace(self.loader, require_secrets=False)
        return loader.load_recorded(text, lambda: self.current.ruleset.protected).require()
