"""Times for people: the time of day, and the day with its zone where either changes."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from relay.record.events import SessionStarted
from relay.record.times import Clock

NOON = datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp()
HOUR = 3600


def test_the_day_is_said_once() -> None:
    clock = Clock(UTC)
    assert clock.day(NOON) == "2026-10-24, UTC+00:00"
    assert clock.day(NOON + HOUR) == ""
    assert clock.day(NOON + 24 * HOUR) == "2026-10-25, UTC+00:00"


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    clock = Clock(ZoneInfo("Europe/Berlin"))
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    assert (clock.day(first), clock.time(first)) == ("2026-10-25, UTC+02:00", "02:30:00")
    again = first + HOUR
    assert (clock.day(again), clock.time(again)) == ("2026-10-25, UTC+01:00", "02:30:00")


def test_milliseconds() -> None:
    assert Clock(UTC).time(NOON + 0.0625, "milliseconds") == "12:00:00.062"


def test_without_a_zone_it_is_that_of_this_machine() -> None:
    local = datetime.fromtimestamp(NOON, UTC).astimezone()
    assert Clock().time(NOON) == f"{local:%H:%M:%S}"


@pytest.mark.parametrize("at", [1e18, -1e18, 1e308, 2.0**63, -1e12, math.inf, math.nan])
def test_a_time_that_no_calendar_has_is_the_epoch(at: float) -> None:
    """A record may have anything in it, and is shown all the same."""
    clock = Clock(UTC)
    assert (clock.day(at), clock.time(at)) == ("1970-01-01, UTC+00:00", "00:00:00")
    started = SessionStarted(
        at=at, session="x", version="1", program="x", pid=1, uid=0, intercept="ports", dns="real"
    )
    assert started.text().startswith("session x of x started 19")
