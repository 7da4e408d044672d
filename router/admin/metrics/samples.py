"""Prometheus metrics from counted values: families, samples and label values."""

import hashlib
import re
from collections.abc import Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.samples import Sample

from router.observe.metric_families import MetricFamily
from router.observe.metrics import HistogramCounts, Labels
from router.runtime.pacing import paced

_LONGEST = 200  #: characters of a label's value; a longer one is cut, and a hash distinguishes it from others
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Rows = Mapping[Labels, float]


class _PacedSamples(list[Sample]):
    """Samples that yield the interpreter while they are written: thousands would delay the requests."""

    def __iter__(self) -> Iterator[Sample]:
        return paced(super().__iter__())


def metric(family: MetricFamily, rows: Rows) -> Metric:
    """A counter or gauge, with a sample for each row."""
    kind = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    made = kind(family.name.removesuffix("_total"), family.meaning, labels=family.labels)
    for labels, value in paced(rows.items()):
        made.add_metric([label_value(label) for label in labels], float(value))
    made.samples = _PacedSamples(made.samples)
    return made


def histogram(family: MetricFamily, rows: Mapping[Labels, HistogramCounts]) -> Metric:
    """A histogram, with a series for each row."""
    made = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    for labels, counts in paced(rows.items()):
        total, buckets = 0, []
        for bound, count in zip([*map(str, family.bounds), "+Inf"], counts.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        made.add_metric([label_value(label) for label in labels], buckets, counts.sum)
    made.samples = _PacedSamples(made.samples)
    return made


def info(family: MetricFamily, value: Mapping[str, str]) -> Metric:
    """An info metric with these labels."""
    made = InfoMetricFamily(family.name.removesuffix("_info"), family.meaning)
    made.add_metric([], dict(value))
    return made


def label_value(name: str) -> str:
    """A name as a label's value: unprintable characters escaped, and at most _LONGEST characters."""
    if len(name) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{name[: _LONGEST - 9]}…{digest[:8]}"
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), name)
