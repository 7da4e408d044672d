"""Series that start at zero: Prometheus sees no increase in a series that begins at one."""

from router.admin.metrics.expiry import RulesetNames
from router.domain.deliveries import State
from router.domain.events import UNMATCHED
from router.observe import metric_families as f
from router.observe.metrics import POLL_OUTCOMES, MetricCounts
from router.plugins.scheme import VerifyFailure


def add_zeros(counted: MetricCounts, known: RulesetNames) -> None:
    """Add a zero for each series of the ruleset's names that was not counted yet."""
    counts = counted.counts
    for source in known.sources:
        counts[f.REQUESTS].setdefault((source, "503"), 0)  # used by alerts
        if source:
            counts[f.EVENTS].setdefault((source,), 0)
            counts[f.DUPLICATES].setdefault((source,), 0)
    for source in known.verified:
        for failure in VerifyFailure:
            counts[f.VERIFICATION_FAILURES].setdefault((source, failure.value), 0)
    for source in known.polled:
        for outcome in POLL_OUTCOMES:
            counts[f.POLLS].setdefault((source, outcome), 0)
    for rule in known.rules:
        counts[f.MATCHES].setdefault((rule,), 0)
        if rule != UNMATCHED:
            counts[f.EVALUATION_ERRORS].setdefault((rule,), 0)
    for action in known.actions:
        for state in (State.SUCCEEDED, State.DEAD, State.SKIPPED):
            counts[f.DELIVERIES].setdefault((*action, state.value), 0)
    for outcome in ("succeeded", "failed"):
        counts[f.RELOADS].setdefault((outcome,), 0)
    counts[f.EVENTS_REMOVED].setdefault((), 0)
