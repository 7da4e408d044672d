"""Drops what was counted under names that the rules no longer know: a daemon may live for a year with edited rules."""

import threading
from collections.abc import Collection
from dataclasses import dataclass

from router.domain.deliveries import State
from router.domain.errors import StoreError
from router.domain.events import UNMATCHED
from router.domain.filters import Filter
from router.observe.metric_families import MetricFamily
from router.observe.metrics import Labels, MetricCounts, Metrics
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.store.contract import Store

KEPT_SECONDS = 300.0  #: that a name is kept once it is gone: some scrapes, so that its last counts are seen
_WAITING = (State.PENDING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Names:
    """What one ruleset names."""

    sources: Collection[str]
    verified: Collection[str]  #: sources that verify their senders
    rules: Collection[str]
    actions: Collection[Labels]  #: rule, action, target
    targets: frozenset[str]

    def know(self, family: MetricFamily, labels: Labels) -> bool:
        """Whether the names among these labels are all of these rules."""
        match family.labels:
            case ("source", *_):
                return labels[0] in self.sources
            case ("rule", "action", "target", *_):
                return labels[:3] in self.actions
            case ("rule", *_):
                return labels[0] in self.rules
            case ("target", *_):
                return labels[0] in self.targets
        return True


def names(ruleset: Ruleset) -> Names:
    """What a ruleset names; no source, and the events that no rule matched, are always known."""
    return Names(
        sources=frozenset(["", *ruleset.sources]),
        verified=[source.name for source in ruleset.sources.values() if source.verifier.verifies],
        rules=frozenset([UNMATCHED, *(rule.name for rule in ruleset.rules)]),
        actions=frozenset((a.rule, a.name, a.action.target.key) for a in ruleset.actions.values()),
        targets=frozenset(action.action.target.key for action in ruleset.actions.values()),
    )


class MetricExpiry:
    """Forgets names that are gone and have nothing waiting. Any thread may call it; it reads the store."""

    def __init__(self, metrics: Metrics, current: CurrentRuleset, store: Store) -> None:
        self._metrics = metrics
        self._current = current
        self._store = store
        self._lock = threading.Lock()
        self._gone: dict[tuple[MetricFamily, Labels], float] = {}  # since when, monotonic
        self._names = "", Names((), (), (), (), frozenset())  # with the hash of their rules

    def known(self) -> Names:
        """What the current rules name."""
        ruleset = self._current.ruleset
        if self._names[0] != ruleset.hash:
            self._names = ruleset.hash, names(ruleset)
        return self._names[1]

    def forget(self, counted: MetricCounts, now: float) -> None:
        """Drop what has been gone for KEPT_SECONDS at `now` (monotonic)."""
        known = self.known()
        with self._lock:
            found = {
                (family, labels)
                for families in (counted.counts, counted.histograms)
                for family, rows in families.items()
                for labels in rows
                if not known.know(family, labels)
            }
            # Those that came back, or were dropped, begin anew.
            self._gone = {one: self._gone.get(one, now) for one in found}
            for one in [one for one, since in self._gone.items() if now - since >= KEPT_SECONDS]:
                if self._has_nothing_waiting(*one):
                    self._metrics.forget(*one)
                    del self._gone[one]
                else:
                    self._gone[one] = now

    def _has_nothing_waiting(self, family: MetricFamily, labels: Labels) -> bool:
        given = dict(zip(family.labels, labels, strict=True))
        if "target" not in given:  # requests and matches of a name that is gone come no more
            return True
        which = Filter(_WAITING, rule=given.get("rule"), action=given.get("action"), target=given["target"])
        try:
            return self._store.count(which) == 0
        except StoreError:
            return False
