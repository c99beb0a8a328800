"""What goes on is carried into the next file of a record: `status` knows of it from there."""

from relay.record import events, status
from relay.record.events import Event
from relay.record.kinds import Kind
from relay.sidecar.kept.carried import Carried


def opened(number: int) -> Event:
    return events.ConnectionOpened(connection=number, address="1.2.3.4", port=443)


def test_what_is_open_is_the_same_by_what_is_carried() -> None:
    carried = Carried()
    known: list[Event] = [
        *map(opened, range(1, 8)),
        events.DialHeld(connection=1, cause="no route", kind=Kind.UNREACHABLE),
        events.Dialled(connection=2, address="1.2.3.4", seconds=0.1),
        events.ConnectionClosed(
            connection=3, by="program", how="fin", sent=1, received=1, seconds=1, idle=0
        ),
        events.ConnectionDenied(connection=4, rule="x"),
        events.DialFailed(connection=5, cause="refused", seconds=0.0),
        events.Fault(where="a", error="KeyError", cause="x", connection=6, saw="a reset"),
        events.UpstreamOpened(connection=8, host="api.test", port=443),
        events.UpstreamReady(connection=8, protocol="h2", seconds=0.1),
        events.Suspected(connection=2, retransmits=1, probes=0, unacked=1, silence=2.0),
        events.UpstreamOpened(connection=9, host="api.test", port=443),
        events.UpstreamClosed(connection=9, cause="closed"),
        events.Slept(seconds=1.0),
        events.Fault(where="a look", error="KeyError", cause="x", connection=7),
    ]
    for event in known:
        carried.note(event)
    found = list(carried)
    assert status.state_of("", found).connections == status.state_of("", known).connections  # type: ignore[arg-type]
    assert {getattr(event, "connection", 0) for event in found} == {1, 2, 7, 8}
