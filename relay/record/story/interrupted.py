"""What ended with keepline itself, where it was killed: its log has no end. Pure."""

from collections.abc import Sequence

from relay.record import status
from relay.record.events import AnyEvent, LogContinued, SessionEnded
from relay.record.story.entry import Entry, Mark


def is_interrupted(log: Sequence[AnyEvent], *, is_live: bool) -> bool:
    """Return whether a session's keepline has ended before its command; `is_live`: it still runs.

    A log that is full has the end of its session all the same, flightlog.py, and one that another
    continues has that.
    """
    return not is_live and not any(isinstance(event, SessionEnded | LogContinued) for event in log)


def cut_off(log: Sequence[AnyEvent]) -> list[Entry]:
    """Return the end of keepline, and each connection that was open then; the log is not empty."""
    at, connections = log[-1].at, status.state_of("", log).connections.values()
    ended = "keepline itself was killed, or the machine went down, at this time or soon after"
    return [
        Entry(at, Mark.NOTE, ended),
        *(Entry(at, Mark.VISIBLE, f"{each.to}: ended with keepline") for each in connections),
    ]
