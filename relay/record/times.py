"""When something was, for people: the time of day here, and the day where it changes. Pure."""

from datetime import UTC, datetime, tzinfo
from typing import Literal


class Clock:
    """Writes times of one session, in order."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        """Write them in `zone`; without one, in that of this machine."""
        self._zone = zone
        self._day = ""

    def day(self, at: float) -> str:
        """Return the day, and what the zone is ahead of UTC, if it is not that of the time before.

        `at` is in seconds since the epoch. Empty if the day is the same.
        """
        local = self._local(at)
        day = f"{local.date().isoformat()}, UTC{local.isoformat()[-len('+00:00') :]}"
        if day == self._day:
            return ""
        self._day = day
        return day

    def time(self, at: float, unit: Literal["seconds", "milliseconds"] = "seconds") -> str:
        """Return the time of day."""
        return self._local(at).time().isoformat(unit)

    def _local(self, at: float) -> datetime:
        return local(at, self._zone)


def local(at: float, zone: tzinfo | None = None) -> datetime:
    """Return a time in a zone, or in that of this machine; the epoch for one that no calendar has.

    A program can write any number into its session's record.
    """
    try:
        return datetime.fromtimestamp(at, UTC).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC).astimezone(zone)
