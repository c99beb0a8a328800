"""Metrics pushed to a collector by OTLP over HTTP: OpenTelemetry's SDK, in a thread of its own.

It takes 0.2 s to load, and 7 MiB of memory, so nothing of it is loaded where nobody asks for it.
The thread reads each metric in one step of the interpreter, beside the one that counts. What it
sends goes straight to the collector: it is no program's.
"""

from collections.abc import Callable, Iterable
from typing import Final, assert_never

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from relay import __version__
from relay.record.metrics import METRICS, Metric, Metrics

EVERY: Final = 60.0
"""Seconds between two pushes."""

PATIENCE: Final = 2.0
"""Seconds for a push; the last one is made when the relay ends."""

_Observe = Callable[[CallbackOptions], Iterable[Observation]]


class Push:
    """Pushes until it is closed; what cannot be pushed is said on stderr, and counted on."""

    def __init__(self, url: str, metrics: Metrics, every: float = EVERY) -> None:
        """Begin to push to a collector's URL, such as http://collector:4318/v1/metrics."""
        self._metrics = metrics
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=url, timeout=PATIENCE),
            export_interval_millis=every * 1000,
            export_timeout_millis=PATIENCE * 1000,
        )
        what = Resource({"service.name": "keepline", "service.version": __version__})
        self._provider = MeterProvider([reader], resource=what, shutdown_on_exit=False)
        meter = self._provider.get_meter("keepline", __version__)
        for metric in METRICS:
            self._add(meter, metric)

    def _add(self, meter: Meter, metric: Metric) -> None:
        observe = self._observe(metric)
        match metric.type:
            case "counter":
                meter.create_observable_counter(metric.name, [observe], description=metric.help)
            case "gauge":
                meter.create_observable_gauge(metric.name, [observe], description=metric.help)
            case "summary":
                name, text = metric.name, metric.help
                meter.create_observable_counter(f"{name}_count", [observe], description=text)
                meter.create_observable_counter(
                    f"{name}_sum", [self._observe_sum], unit="s", description=text
                )
            case _:
                assert_never(metric.type)

    def _observe(self, metric: Metric) -> _Observe:
        def observed(_options: CallbackOptions) -> Iterable[Observation]:
            for labels, value in self._metrics.of(metric):
                yield Observation(value, dict(zip(metric.labels, labels, strict=True)))

        return observed

    def _observe_sum(self, _options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._metrics.dialled)

    def close(self) -> None:
        """Push what is there, if that can be done in time, and end."""
        self._provider.shutdown(timeout_millis=PATIENCE * 1000)
