"""Which connection an event ends; pure."""

from relay.record import events
from relay.record.events import Event


def ended_by(event: Event) -> int | None:
    """Return the number of the connection that has ended with an event; None: none has."""
    match event:
        case (
            events.ConnectionClosed()
            | events.ConnectionDenied()
            | events.DialFailed()
            | events.UpstreamClosed()
        ):
            return event.connection
        case events.Fault(connection=int(number)) if event.ends_connection:
            return number
        case _:
            return None
