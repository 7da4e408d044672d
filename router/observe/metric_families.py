"""All metrics: name, type, labels and meaning of each. docs/metrics.md has a row for each of them.

Names follow Prometheus (prometheus.io, "Metric and label naming"): base units, and `_total` for counters. Label values
are bounded: names of the rules file, and the few words that a metric's meaning lists. Senders can't choose them.
"""

from dataclasses import dataclass
from typing import Literal

Type = Literal["counter", "gauge", "histogram", "info"]

_SECONDS_OF_ANSWERS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Few buckets, since each bucket is a series for each target.
_SECONDS_OF_DELIVERIES = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
_SECONDS_OF_ATTEMPTS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SECONDS_OF_COMMITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_JOBS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


@dataclass(frozen=True, slots=True, eq=False)
class MetricFamily:
    """One metric."""

    type: Type
    name: str  #: the name in a scrape, with `_total` or `_info`, without the suffixes of a histogram
    meaning: str
    labels: tuple[str, ...] = ()  #: names of the rules file first: RulesetNames.include reads them by position
    bounds: tuple[float, ...] = ()  #: upper bounds of a histogram's buckets, without the infinite one


def _counter(name: str, meaning: str, *labels: str) -> MetricFamily:
    return MetricFamily("counter", f"webhook_router_{name}_total", meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> MetricFamily:
    return MetricFamily("gauge", f"webhook_router_{name}", meaning, labels)


REQUESTS = _counter("requests", "Requests answered, by source and HTTP status.", "source", "status")
EVENTS = _counter("events", "Events stored, duplicates not counted.", "source")
DUPLICATES = _counter("duplicates", "Requests that were copies of an event, and not stored again.", "source")
VERIFICATION_FAILURES = _counter("verification_failures", "Requests that failed verification.", "source", "reason")
POLLS = _counter("polls", "Polls that ended: changed, unchanged or failed.", "source", "outcome")
MATCHES = _counter("matches", "Stored events that a rule matched.", "rule")
EVALUATION_ERRORS = _counter("evaluation_errors", "Events that a rule could not be judged for.", "rule")
ANSWER_SECONDS = MetricFamily(
    "histogram",
    "webhook_router_answer_duration_seconds",
    "From the arrival of events and duplicates to their answers, which wait for a commit.",
    ("source",),
    _SECONDS_OF_ANSWERS,
)

DELIVERIES = _counter(
    "deliveries", "Deliveries that ended: succeeded, dead or skipped.", "rule", "action", "target", "outcome"
)
ATTEMPTS = _counter("attempts", "Attempts that ended, by outcome.", "rule", "action", "target", "outcome")
ATTEMPT_SECONDS = MetricFamily(
    "histogram",
    "webhook_router_attempt_duration_seconds",
    "How long attempts took, whatever came of them.",
    ("target",),
    _SECONDS_OF_ATTEMPTS,
)
DELIVERY_SECONDS = MetricFamily(
    "histogram",
    "webhook_router_delivery_duration_seconds",
    "From the arrival of events to their deliveries' success.",
    ("target",),
    _SECONDS_OF_DELIVERIES,
)

COMMIT_SECONDS = MetricFamily(
    "histogram",
    "webhook_router_commit_duration_seconds",
    "How long the store's transactions took.",
    (),
    _SECONDS_OF_COMMITS,
)
COMMIT_JOBS = MetricFamily(
    "histogram",
    "webhook_router_commit_jobs",
    "Appends, claims, settles and the like in one transaction of the store.",
    (),
    _JOBS,
)
EVENTS_REMOVED = _counter("events_removed", "Events removed by retention.")

RELOADS = _counter("reloads", "Reloads of the rules file: succeeded or failed.", "outcome")

COUNTERS = (
    REQUESTS,
    EVENTS,
    DUPLICATES,
    VERIFICATION_FAILURES,
    MATCHES,
    EVALUATION_ERRORS,
    POLLS,
    DELIVERIES,
    ATTEMPTS,
    EVENTS_REMOVED,
    RELOADS,
)
HISTOGRAMS = (ANSWER_SECONDS, ATTEMPT_SECONDS, DELIVERY_SECONDS, COMMIT_SECONDS, COMMIT_JOBS)

READY = _gauge("ready", "1 while /-/ready answers 200.")
CONNECTIONS = _gauge("intake_connections", "Connections open to the intake.")
CONNECTION_LIMIT = _gauge("intake_connections_limit", "Connections to the intake that may be open at once.")
PROCESSES = _gauge("intake_processes", "Processes that take requests now.")
PROCESSES_WANTED = _gauge("intake_processes_wanted", "Processes that should take requests.")
PROCESSES_REPLACED = _counter("intake_processes_replaced", "Intake processes that ended or hung, and were replaced.")
LINES_LOST = _counter("log_lines_lost", "Log lines that could not be written.")
CERTIFICATE_ENDS = _gauge(
    "certificate_expiration_timestamp_seconds", "When the listener's TLS certificate expires, Unix time.", "listener"
)

QUEUE_DEPTH = _gauge(
    "queue_depth", "Deliveries that wait or run: pending, blocked, held or running.", "target", "state"
)
QUEUE_AGE = _gauge("queue_oldest_age_seconds", "Age of the oldest delivery that waits and is not held.", "target")
PAUSED = _gauge("target_paused", "1 while the target is paused.", "target")
DEAD = _gauge("dead_deliveries", "Dead deliveries in the store.", "target")
RUNNING = _gauge("attempts_running", "Attempts under way.", "target")
CONCURRENCY = _gauge("concurrency_limit", "Attempts that may be under way at once.", "target")
RATE = _gauge("rate_limit", "Attempts that may start each second; only for targets with a rate.", "target")
TOKENS = _gauge("rate_limit_tokens", "Attempts that the rate lets start at once now.", "target")
BREAKER = _gauge("breaker_state", "1 for the state that the breaker is in, 0 for the others.", "target", "state")
FAILURES = _gauge("breaker_failures", "Failures in a row, as the breaker counts them.", "target")

SOURCE_FAILING = _gauge("source_failing", "1 while polls of the source fail.", "source")
POLLED_AT = _gauge("last_poll_success_timestamp_seconds", "When a poll of the source last worked, Unix time.", "source")

STORE_HEALTHY = _gauge("store_healthy", "1 while the store's last commit worked and none hangs.")
STORE_ERRORS = _counter("store_errors", "Transactions of the store that could not be made, or whose answer was lost.")
STORE_DEADLOCKS = _counter("store_deadlocks", "Transactions made again since another one was in their way.")
STORE_BYTES = _gauge("store_size_bytes", "Size of the store's file and its write-ahead log.")
FREE_BYTES = _gauge("store_free_bytes", "Room left on the store's disk.")

NODES = _gauge("nodes", "Nodes of the fleet whose lease has not ended.")
NODES_TAKEN_OVER = _counter("nodes_taken_over", "Lost nodes that this node took over from.")
LEASE_AGE = _gauge("node_lease_age_seconds", "Since this node renewed its lease.")
LEASE_SECONDS = _gauge("node_lease_duration_seconds", "For how long a lease lasts once it is renewed.")
LISTENS = _gauge("node_listening", "1 while other nodes' changes are told to this node at once.")

RULES_INFO = MetricFamily(
    "info", "webhook_router_rules_info", "The rules that run, by the hash of their text.", ("hash",)
)
RULES = _gauge("rules_loaded", "Number of rules that run.")
RELOADED = _gauge("last_reload_successful", "1 when the last reload took, or there was none; 0 when it failed.")
LOADED_AT = _gauge("last_reload_success_timestamp_seconds", "When the rules that run were loaded, Unix time.")
DIFFERS = _gauge("rules_file_differs", "1 while the rules file is not what runs.")

BUILD_INFO = MetricFamily("info", "webhook_router_build_info", "The program, and what runs it.", ("version", "python"))
