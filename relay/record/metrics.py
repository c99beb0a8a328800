"""The record as numbers: every metric counts events, and nothing else. Pure.

Names are those of ztunnel where it counts the same (`tcp_connections_opened`, `tcp_sent_bytes`,
`dns_upstream_failures`), with keepline's word before them; units and endings are Prometheus' and
those of OpenTelemetry's semantic conventions. No label has a value that a program chooses.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from relay.record import events
from relay.record.closing import ended_by
from relay.record.events import AnyEvent
from relay.record.kinds import Kind
from relay.record.story.entry import Mark
from relay.record.story.losses import Story

Labels: TypeAlias = tuple[str, ...]


class Metric(NamedTuple):
    """A metric, as it is told of."""

    name: str
    """Without the ending _total, _sum or _count that Prometheus' text has."""
    type: Literal["counter", "gauge", "summary"]
    help: str
    labels: Labels = ()


OPENED: Final = Metric(
    "keepline_tcp_connections_opened", "counter", "Connections that programs have asked for"
)
CLOSED: Final = Metric(
    "keepline_tcp_connections_closed",
    "counter",
    "Connections that were relayed and have ended, by whom and how",
    ("by", "how"),
)
FAILED: Final = Metric(
    "keepline_tcp_connections_failed",
    "counter",
    "Connections for which nothing was reached, by the kind of cause",
    ("kind",),
)
DENIED: Final = Metric(
    "keepline_tcp_connections_denied",
    "counter",
    "Connections that a rule forbids, or to what cannot be dialled",
    ("kind",),
)
SENT: Final = Metric(
    "keepline_tcp_sent_bytes", "counter", "Bytes from programs, of connections that have ended"
)
RECEIVED: Final = Metric(
    "keepline_tcp_received_bytes", "counter", "Bytes to programs, of connections that have ended"
)
DIALS: Final = Metric(
    "keepline_tcp_connect_duration_seconds",
    "summary",
    "Time until a destination was reached, held time included",
)
HELD: Final = Metric(
    "keepline_tcp_connections_held",
    "counter",
    "Dials that failed at first and went on while the program waited",
    ("kind",),
)
REPLAYED: Final = Metric(
    "keepline_tcp_client_hello_resends",
    "counter",
    "TLS ClientHellos that were sent again after a loss before the first byte of an answer",
    ("kind",),
)
LOSSES: Final = Metric(
    "keepline_losses",
    "counter",
    "Losses, by whether the program saw them, and the kind of cause",
    ("visibility", "kind"),
)
RESENT: Final = Metric(
    "keepline_gateway_resends",
    "counter",
    "Requests that the gateway has sent again, by the kind of cause",
    ("kind",),
)
GIVEN_UP: Final = Metric(
    "keepline_gateway_requests_lost",
    "counter",
    "Requests that the gateway has given up, by the kind of cause",
    ("kind",),
)
ASSIGNED: Final = Metric(
    "keepline_dns_names_assigned", "counter", "Names that got an address of their own"
)
REFUSED: Final = Metric(
    "keepline_dns_refused", "counter", "Questions for names that a rule forbids"
)
UNRESOLVED: Final = Metric(
    "keepline_dns_failures",
    "counter",
    "Questions to which no resolver gave a usable answer, by the kind of cause",
    ("kind",),
)
NAMES_HELD: Final = Metric(
    "keepline_dns_held",
    "counter",
    "Names that were answered once the resolvers did again",
    ("kind",),
)
STALE: Final = Metric(
    "keepline_dns_served_stale",
    "counter",
    "Names answered by the last known address, RFC 8767",
    ("kind",),
)
SILENT: Final = Metric(
    "keepline_dns_upstream_failures",
    "counter",
    "Resolvers that gave no usable answer in time, after which the next was asked",
    ("kind",),
)
OPEN: Final = Metric("keepline_tcp_connections_open", "gauge", "Connections that are there now")
STANDING: Final = Metric(
    "keepline_rules_standing", "gauge", "Whether the pod's rules lead programs to the relay"
)

METRICS: Final = (
    *(OPENED, CLOSED, FAILED, DENIED, OPEN, SENT, RECEIVED, DIALS, HELD, REPLAYED, LOSSES),
    *(RESENT, GIVEN_UP, ASSIGNED, REFUSED, UNRESOLVED, NAMES_HELD, STALE, SILENT, STANDING),
)

_VISIBILITY: Final = {Mark.HIDDEN: "hidden", Mark.VISIBLE: "visible"}


class Metrics:
    """The numbers of all events so far."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Labels]] = {metric.name: Counter() for metric in METRICS}
        for metric in METRICS:  # what has no labels is there from the start
            if not metric.labels:
                self._counts[metric.name][()] = 0
        self.dialled = 0.0
        """Seconds of all dials that have reached something, for the sum beside their count."""
        self._open: set[int] = set()
        self._turned_away: Counter[str] = Counter()
        self._story = Story()

    def of(self, metric: Metric) -> Iterator[tuple[Labels, int]]:
        """Yield the values of a metric, by the values of its labels."""
        yield from sorted(self._counts[metric.name].items())

    def note(self, event: AnyEvent, times: int = 1) -> None:
        """Take the next event, which stands for so many that are the same."""
        if isinstance(event, events.TurnedAway):  # it is told of some, with how many there were
            known, self._turned_away[event.where] = self._turned_away[event.where], event.count
            times = event.count - known
        self._note(event, times)
        for entry in self._story.note(event):
            if (visibility := _VISIBILITY.get(entry.mark)) is not None:
                self._add(LOSSES, visibility, entry.kind, times=times)
        self._note_end(event)

    def _add(self, metric: Metric, *labels: str, times: int = 1) -> None:
        self._counts[metric.name][labels] += times

    def _note(self, event: AnyEvent, times: int) -> None:
        kind = getattr(event, "kind", Kind.UNKNOWN)
        match event:
            case events.ConnectionOpened():
                self._add(OPENED, times=times)
                self._open.add(event.connection)
            case events.ConnectionClosed():
                self._add(CLOSED, event.by, event.how, times=times)
                self._add(SENT, times=event.sent)
                self._add(RECEIVED, times=event.received)
            case events.Dialled():
                self._add(DIALS)
                self.dialled += event.seconds
            case events.RulesLacking() | events.RulesStand():
                self._counts[STANDING.name][()] = isinstance(event, events.RulesStand)
            case events.FurtherNames():
                if (further := _FURTHER.get(event.what)) is not None:
                    self._add(further, *[kind] * len(further.labels), times=times)
            case _ if (metric := _COUNTED.get(type(event))) is not None:
                self._add(metric, *[kind] * len(metric.labels), times=times)
            case _:
                pass
        self._counts[OPEN.name][()] = len(self._open)

    def _note_end(self, event: AnyEvent) -> None:
        """Forget a connection that has ended with an event."""
        number = ended_by(event)
        if number is None:
            return
        self._open.discard(number)
        self._counts[OPEN.name][()] = len(self._open)
        self._story.forget(number)


_COUNTED: Final[dict[type[AnyEvent], Metric]] = {
    events.DialFailed: FAILED,
    events.ConnectionDenied: DENIED,
    events.DialHeld: HELD,
    events.Replaying: REPLAYED,
    events.AskedAgain: RESENT,
    events.RequestLost: GIVEN_UP,
    events.NameAssigned: ASSIGNED,
    events.NameRefused: REFUSED,
    events.LookupFailed: UNRESOLVED,
    events.LookupHeld: NAMES_HELD,
    events.ServedStale: STALE,
    events.ResolverSilent: SILENT,
}
"""Of which event each is counted, by its kind where the metric has that as its label."""

_FURTHER: Final = {"assigned": ASSIGNED, "refused": REFUSED, "failed": UNRESOLVED}
"""The same of names whose zone has so many that they have no event of their own."""
