"""The table of metrics, docs/metrics.md: made from what the relay of a pod counts."""

import sys
from pathlib import Path
from typing import Final, assert_never, get_args

from relay.record.events.connections import Closer, How
from relay.record.kinds import Kind
from relay.record.metrics import METRICS, Metric

FILE: Final = Path(__file__).parents[2] / "docs/metrics.md"

_HEAD: Final = """\
# Metrics of a pod's relay

Made from the source by `scripts/schema`. `http://POD:15020/metrics` has them as text of OpenMetrics
1.0, which Prometheus reads. They count the events of the record, and nothing else: what a record
has read comes to the same numbers (`tests/kernel/test_sidecar_relay.py -k metrics`). They begin at
zero with each start of the relay. No label has a name, an address or a program in it.

| metric | type | labels | what |
|---|---|---|---|
"""


def rendered() -> str:
    """Return the file."""
    lines = ["| `keepline_build_info` | gauge | version | Version of keepline, the value is 1 |"]
    lines += [_line(metric) for metric in METRICS]
    kinds = ", ".join(f"`{kind.value}`" for kind in Kind)
    values = (
        f"\n`kind` is the kind of a cause, as in the log: {kinds}. `by` is one of"
        f" {_listed(get_args(Closer))}; `how` is one of {_listed(get_args(How))}. `visibility` is"
        " `hidden`, if the program saw nothing of a loss, or `visible`.\n"
    )
    return _HEAD + "\n".join(lines) + "\n" + values


def _line(metric: Metric) -> str:
    labels = ", ".join(metric.labels)
    return f"| {_names(metric)} | {metric.type} | {labels} | {metric.help} |"


def _names(metric: Metric) -> str:
    match metric.type:
        case "counter":
            return f"`{metric.name}_total`"
        case "gauge":
            return f"`{metric.name}`"
        case "summary":
            return f"`{metric.name}_count`, `_sum`"
        case _:
            assert_never(metric.type)


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    sys.stdout.write(rendered())
