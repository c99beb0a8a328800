"""The metrics as text for Prometheus, OpenMetrics 1.0, by its client library.

Of that library the parts alone that are needed: its servers of HTTP take 6 MiB of memory.
"""

import sys
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec
from typing import Final, assert_never

_spec = find_spec("prometheus_client")
assert _spec is not None  # a dependency
sys.modules.setdefault(_spec.name, module_from_spec(_spec))  # its __init__ would load all of it

from prometheus_client.metrics_core import (  # noqa: E402
    CounterMetricFamily,
    GaugeMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family  # noqa: E402
from prometheus_client.openmetrics.exposition import (  # noqa: E402
    CONTENT_TYPE_LATEST,
    generate_latest,
)

from relay import __version__  # noqa: E402
from relay.record.metrics import METRICS, Metric, Metrics  # noqa: E402

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class _Collected:
    """What the library takes for a registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Family]:
        """Yield all metrics with their values."""
        info = GaugeMetricFamily("keepline_build_info", "Version of keepline", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        for metric in METRICS:
            yield self._family(metric)

    def _family(self, metric: Metric) -> Family:
        values = self._metrics.of(metric)
        labels = list(metric.labels)
        match metric.type:
            case "counter":
                counter = CounterMetricFamily(metric.name, metric.help, labels=labels)
                for each, value in values:
                    counter.add_metric(each, value)
                return counter
            case "gauge":
                gauge = GaugeMetricFamily(metric.name, metric.help, labels=labels)
                for each, value in values:
                    gauge.add_metric(each, value)
                return gauge
            case "summary":
                summary = SummaryMetricFamily(metric.name, metric.help, labels=labels)
                for each, value in values:
                    summary.add_metric(each, value, self._metrics.dialled)
                return summary
            case _:
                assert_never(metric.type)


def rendered(metrics: Metrics) -> bytes:
    """Return the text of all metrics."""
    text: bytes = generate_latest(_Collected(metrics))  # type: ignore[no-untyped-call]
    return text
