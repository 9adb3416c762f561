"""Fast histograms for values that every call records.

A histogram of the OpenTelemetry library takes 8 µs per value with one reader and 12 µs with two; these take less
than 1 µs. With the two values of a call that saves 5 to 9 % of the CPU of a point read (docs/performance.md).
Rare values use the library.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricsData,
)
from opentelemetry.sdk.metrics.export import Histogram as Points

Attributes: TypeAlias = tuple[tuple[str, str], ...]
"""The attributes of a value. The number of different combinations must be small."""


@dataclass
class _Series:
    """The values with the same attributes.

    Attributes:
        began: When counting began, in nanoseconds since 1970.
        counts: The number of values per bucket. The last bucket has the values above all bounds.
        total: The sum of the values.
        least: The least value.
        greatest: The greatest value.
    """

    began: int
    counts: list[int]
    total: float = 0
    least: float = float("inf")
    greatest: float = float("-inf")


@dataclass
class Histogram:
    """A histogram of seconds. One thread records values, and other threads read them."""

    name: str
    description: str
    bounds: Sequence[float]
    _series: dict[Attributes, _Series] = field(default_factory=dict)

    def record(self, seconds: float, attributes: Attributes) -> None:
        """Add a value."""
        series = self._series.get(attributes)
        if series is None:
            series = self._series[attributes] = _Series(time.time_ns(), [0] * (len(self.bounds) + 1))
        series.counts[bisect_left(self.bounds, seconds)] += 1
        series.total += seconds
        series.least = min(series.least, seconds)
        series.greatest = max(series.greatest, seconds)

    def metric(self, now: int) -> Metric:
        """Return all values so far as a metric of the library."""
        points = [self._point(attributes, series, now) for attributes, series in tuple(self._series.items())]
        return Metric(self.name, self.description, "s", Points(points, AggregationTemporality.CUMULATIVE))

    def _point(self, attributes: Attributes, series: _Series, now: int) -> HistogramDataPoint:
        counts = tuple(series.counts)
        return HistogramDataPoint(
            dict(attributes),
            series.began,
            now,
            sum(counts),
            series.total,
            counts,
            self.bounds,
            series.least,
            series.greatest,
        )


class Histograms:
    """All histograms of the process."""

    def __init__(self) -> None:
        self._all: list[Histogram] = []

    def create(self, name: str, description: str, bounds: Sequence[float]) -> Histogram:
        """Return a new histogram."""
        histogram = Histogram(name, description, bounds)
        self._all.append(histogram)
        return histogram

    def added_to(self, data: MetricsData) -> MetricsData:
        """Return the metrics that the library has collected, with the histograms added."""
        now = time.time_ns()
        metrics = [metric for metric in (each.metric(now) for each in self._all) if metric.data.data_points]
        [resource] = data.resource_metrics
        [scope] = resource.scope_metrics
        scope = replace(scope, metrics=[*metrics, *scope.metrics])
        return replace(data, resource_metrics=[replace(resource, scope_metrics=[scope])])
