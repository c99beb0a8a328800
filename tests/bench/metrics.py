"""What is measured, in the order of the table, and what it gives; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

Unit: TypeAlias = Literal["bytes/s", "seconds", "1/s", "bytes"]


@dataclass(frozen=True)
class Metric:
    """One line of the benchmark."""

    key: str
    title: str
    unit: Unit


@dataclass
class Figures:
    """All that a run found out."""

    samples: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    """By metric's key and variant's name: a figure a round, None where it failed."""
    missing: dict[str, str] = field(default_factory=dict)
    """What lacks figures, and why."""

    metrics: dict[str, Metric] = field(default_factory=dict)

    def add(self, metric: Metric, variant: str, figure: float | None) -> None:
        """Keep one."""
        self.metrics[metric.key] = metric
        self.samples.setdefault(metric.key, {}).setdefault(variant, []).append(figure)


@dataclass(frozen=True)
class Load(Metric):
    """What a client of the load finds out, in every round."""

    order: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """How long a run takes."""

    rounds: int
    seconds: float
    """For each of what is counted over a time."""
    round_trips: int
    connections: int
    """Made one after the other."""
    starts: int
    idle: int
    """Connections held at the same time."""


FULL: Final = Effort(rounds=5, seconds=0.6, round_trips=1000, connections=100, starts=3, idle=1000)
QUICK: Final = Effort(rounds=1, seconds=0.3, round_trips=500, connections=50, starts=3, idle=500)

UPLOAD: Final = "upload_1"
DOWNLOAD: Final = "download_1"
AT_ONCE: Final = 64

START: Final = Metric("start", "start-up of true", "seconds")
EMPTY: Final = Metric("memory", "memory without connections", "bytes")
EACH: Final = Metric("memory_each", "memory per idle connection", "bytes")


def loads(effort: Effort, address: str, name: str, many: Sequence[str]) -> list[Load]:
    """List what the clients are asked, given the server's address, name and further addresses."""
    bulk = {"address": address, "seconds": effort.seconds}
    return [
        Load(UPLOAD, "upload, 1 stream", "bytes/s", "upload", bulk | {"streams": 1}),
        Load("upload_8", "upload, 8 streams", "bytes/s", "upload", bulk | {"streams": 8}),
        Load(DOWNLOAD, "download, 1 stream", "bytes/s", "download", bulk | {"streams": 1}),
        Load("download_8", "download, 8 streams", "bytes/s", "download", bulk | {"streams": 8}),
        Load(
            "ping_pong",
            "ping-pong of 1 byte",
            "seconds",
            "ping_pong",
            {"address": address, "count": effort.round_trips},
        ),
        Load(
            "first_byte",
            "first byte, by address",
            "seconds",
            "first_byte",
            {"host": address, "count": effort.connections},
        ),
        Load(
            "first_bytes",
            "first byte, no burst: the SYN is held",
            "seconds",
            "first_bytes",
            {"hosts": list(many)},
        ),
        Load(
            "first_byte_by_name",
            "first byte, by name",
            "seconds",
            "first_byte",
            {"host": name, "count": effort.connections},
        ),
        Load(
            "requests",
            f"connect-request-close, {AT_ONCE} at once",
            "1/s",
            "requests",
            {"address": address, "at_once": AT_ONCE, "seconds": effort.seconds},
        ),
    ]
