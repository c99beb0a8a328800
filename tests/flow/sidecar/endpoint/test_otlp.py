"""What is pushed by OTLP is what is counted; a collector that is away keeps nobody."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from relay.record import events
from relay.record.metrics import METRICS, Metric, Metrics
from relay.sidecar.endpoint.otlp import PATIENCE, Push
from tests.support.pace import within

Values = dict[tuple[str, ...], float]


@contextmanager
def collector(pushed: list[Values]) -> Iterator[str]:
    """Yield the URL of a collector, which notes what it gets."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pushed.append(read(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/metrics"
        finally:
            server.shutdown()
            thread.join()


def read(body: bytes) -> Values:
    request = ExportMetricsServiceRequest.FromString(body)
    (resource,) = request.resource_metrics
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "keepline"
    values: Values = {}
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            kind = metric.WhichOneof("data")
            for point in getattr(metric, kind).data_points:
                labels = sorted((each.key, each.value.string_value) for each in point.attributes)
                value = point.as_int if point.HasField("as_int") else point.as_double
                values[metric.name, *(value for _key, value in labels)] = value
    return values


def ordered(metric: Metric, labels: tuple[str, ...]) -> list[str]:
    """Return the values of labels in the order of their names."""
    return [value for _name, value in sorted(zip(metric.labels, labels, strict=True))]


def test_what_is_pushed_is_what_is_counted() -> None:
    metrics, pushed = Metrics(), list[Values]()
    with collector(pushed) as url:
        push = Push(url, metrics)
        metrics.note(events.ConnectionOpened(connection=1, address="1.2.3.4", port=443))
        metrics.note(events.Dialled(connection=1, address="1.2.3.4", seconds=0.5))
        metrics.note(
            events.ConnectionClosed(
                connection=1, by="upstream", how="reset", sent=7, received=8, seconds=1, idle=0
            )
        )
        push.close()
    (values,) = pushed
    ending = {"counter": "", "gauge": "", "summary": "_count"}
    counted = {
        (metric.name + ending[metric.type], *ordered(metric, labels)): value
        for metric in METRICS
        for labels, value in metrics.of(metric)
    }
    assert values == counted | {("keepline_tcp_connect_duration_seconds_sum",): 0.5}


def test_it_is_pushed_again_and_again() -> None:
    metrics, pushed = Metrics(), list[Values]()
    with collector(pushed) as url:
        push = Push(url, metrics, every=0.02)
        while len(pushed) < 3:
            time.sleep(0.01)
        push.close()
    assert all(values["keepline_tcp_connections_opened",] == 0 for values in pushed)


def test_a_collector_that_is_away_keeps_nobody() -> None:
    push = Push("http://127.0.0.1:1/v1/metrics", Metrics())
    began = time.monotonic()
    push.close()
    assert within(time.monotonic() - began, 2 * PATIENCE)
