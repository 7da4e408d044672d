"""Drops counts of names that the rules no longer have; otherwise they would pile up while a daemon runs for months."""

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

KEPT_SECONDS = 300.0  #: how long a name is kept after it left the rules, so that some scrapes see its last counts
_WAITING = (State.PENDING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class RulesetNames:
    """The names in one ruleset."""

    sources: Collection[str]
    verified: Collection[str]  #: sources that verify their senders
    polled: Collection[str]  #: sources that are polled
    rules: Collection[str]
    actions: Collection[Labels]  #: rule, action, target
    targets: frozenset[str]

    def include(self, family: MetricFamily, labels: Labels) -> bool:
        """Whether all names in these labels are in the ruleset."""
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


def names_of(ruleset: Ruleset) -> RulesetNames:
    """The names in a ruleset, with those that are always known: no source, and unmatched events."""
    return RulesetNames(
        sources=frozenset(["", *ruleset.sources]),
        verified=[
            source.name for source in ruleset.sources.values() if source.verifier.verifies and source.poll is None
        ],
        polled=[source.name for source in ruleset.sources.values() if source.poll is not None],
        rules=frozenset([UNMATCHED, *(rule.name for rule in ruleset.rules)]),
        actions=frozenset((a.rule, a.name, a.action.target.key) for a in ruleset.actions.values()),
        targets=frozenset(action.action.target.key for action in ruleset.actions.values()),
    )


class MetricExpiry:
    """Drops names that left the rules and have no waiting deliveries. Any thread may call it; it reads the store."""

    def __init__(self, metrics: Metrics, current: CurrentRuleset, store: Store) -> None:
        self._metrics = metrics
        self._current = current
        self._store = store
        self._lock = threading.Lock()
        self._gone: dict[tuple[MetricFamily, Labels], float] = {}  # since when each is missing, monotonic
        self._names = "", RulesetNames((), (), (), (), (), frozenset())  # with the hash of the rules

    def known(self) -> RulesetNames:
        """The names in the current rules."""
        ruleset = self._current.ruleset
        if self._names[0] != ruleset.hash:
            self._names = ruleset.hash, names_of(ruleset)
        return self._names[1]

    def forget(self, counted: MetricCounts, now: float) -> None:
        """Drop names that have been missing for KEPT_SECONDS at `now` (monotonic)."""
        known = self.known()
        with self._lock:
            missing = {
                (family, labels)
                for families in (counted.counts, counted.histograms)
                for family, rows in families.items()
                for labels in rows
                if not known.include(family, labels)
            }
            # A name that returned is removed here, so that its time starts again.
            self._gone = {one: self._gone.get(one, now) for one in missing}
            for one in [one for one, since in self._gone.items() if now - since >= KEPT_SECONDS]:
                if self._has_nothing_waiting(*one):
                    self._metrics.forget(*one)
                    del self._gone[one]
                else:
                    self._gone[one] = now

    def _has_nothing_waiting(self, family: MetricFamily, labels: Labels) -> bool:
        names = dict(zip(family.labels, labels, strict=True))
        if "target" not in names:  # counts of requests and matches; nothing waits there
            return True
        which = Filter(_WAITING, rule=names.get("rule"), action=names.get("action"), target=names["target"])
        try:
            return self._store.count(which, 1) == 0
        except StoreError:
            return False
