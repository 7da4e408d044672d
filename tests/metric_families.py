"""All metric families that the program defines."""

from router.observe import metric_families
from router.observe.metric_families import MetricFamily

FAMILIES = tuple(value for value in vars(metric_families).values() if isinstance(value, MetricFamily))
