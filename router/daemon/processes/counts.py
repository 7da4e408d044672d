"""Counts of metrics as the body of a frame."""

from collections.abc import Mapping

import orjson

from router.observe.metric_families import COUNTERS, HISTOGRAMS
from router.observe.metrics import HistogramCounts, MetricCounts

_COUNTERS = {family.name: family for family in COUNTERS}
_HISTOGRAMS = {family.name: family for family in HISTOGRAMS}


def encode_counts(counted: MetricCounts, state: Mapping[str, int]) -> bytes:
    """The body: counts to add to others, and current numbers by name."""
    counters = {family.name: list(rows.items()) for family, rows in counted.counts.items() if rows}
    histograms = {
        family.name: [(labels, row.counts, row.sum) for labels, row in rows.items()]
        for family, rows in counted.histograms.items()
        if rows
    }
    return orjson.dumps((counters, histograms, state))


def decode_counts(body: bytes) -> tuple[MetricCounts, dict[str, int]]:
    """Read the body."""
    counters, histograms, state = orjson.loads(body)
    counts = MetricCounts(
        {_COUNTERS[name]: {tuple(labels): number for labels, number in rows} for name, rows in counters.items()},
        {
            _HISTOGRAMS[name]: {tuple(labels): HistogramCounts(row, total) for labels, row, total in rows}
            for name, rows in histograms.items()
        },
    )
    return counts, state
