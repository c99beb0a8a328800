"""The same failure again and again takes a few lines; nothing else is left out."""

import pytest

from relay.record import repeats
from relay.record.events import (
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    DialFailed,
    DialHeld,
    Dialled,
    Event,
    LookupFailed,
    NameRefused,
    Slept,
)
from relay.record.kinds import Kind
from relay.record.repeats import Repeats


def asked(name: str = "a.test", rdtype: str = "A") -> NameRefused:
    return NameRefused(name=name, type=rdtype, kind=Kind.POLICY, rule="*")


def opened(number: int, port: int = 80) -> ConnectionOpened:
    return ConnectionOpened(connection=number, address="192.0.2.1", port=port)


def refused(number: int) -> DialFailed:
    return DialFailed(
        connection=number, kind=Kind.REFUSED, cause="refused", seconds=number / 10, told="a refusal"
    )


def polled(filter_: Repeats, *numbers: int) -> list[list[Event]]:
    """Connect to a port that refuses, again and again, and return what is written of each."""
    return [[*filter_.passed(opened(n)), *filter_.passed(refused(n))] for n in numbers]


def test_of_ten_the_powers_of_two_are_written_and_the_last_at_the_end() -> None:
    filter_ = Repeats()
    written = [event for _ in range(10) for event in filter_.passed(asked())]
    assert [event.count for event in written if isinstance(event, NameRefused)] == [1, 2, 4, 8]
    (last,) = filter_.last()
    assert isinstance(last, NameRefused)
    assert last.count == 10
    assert list(filter_.last()) == []


def test_what_differs_is_counted_apart() -> None:
    filter_ = Repeats()
    for event in (asked(), asked("b.test"), asked(rdtype="AAAA")):
        assert filter_.passed(event) == (event,)
        assert event.count == 1


def test_other_events_are_written_as_they_come() -> None:
    filter_ = Repeats()
    for event in (Slept(seconds=1), Slept(seconds=1), Dialled(connection=9, address="", seconds=0)):
        assert filter_.passed(event) == (event,)


def test_a_poll_of_a_port_that_refuses() -> None:
    filter_ = Repeats()
    written = polled(filter_, *range(1, 11))
    assert [len(events) for events in written] == [2, 2, 0, 2, 0, 0, 0, 2, 0, 0]
    for events in written:
        assert not events or isinstance(events[0], ConnectionOpened)
    first, last = filter_.last()
    assert isinstance(first, ConnectionOpened)
    assert isinstance(last, DialFailed)
    assert (first.connection, last.connection, last.count) == (10, 10, 10)


def test_denied_connections_too() -> None:
    filter_, counts = Repeats(), []
    for number in range(1, 5):
        filter_.passed(opened(number))
        denied = ConnectionDenied(connection=number, kind=Kind.POLICY, rule="*")
        counts.append(len(filter_.passed(denied)))
    assert counts == [1, 1, 0, 2]


def test_a_destination_that_is_reached_is_one_like_any_other_again() -> None:
    filter_ = Repeats()
    polled(filter_, 1, 2, 3)
    first, reached = opened(4), Dialled(connection=4, address="192.0.2.1", seconds=0.1)
    assert filter_.passed(first) == ()
    assert filter_.passed(reached) == (first, reached)
    closed = ConnectionClosed(
        connection=4, by="program", how="fin", sent=0, received=0, seconds=1, idle=1
    )
    assert filter_.passed(closed) == (closed,)
    assert filter_.passed(opened(5)) == (opened(5),)


def test_the_end_of_a_connection_that_is_in_the_log_is_always_written() -> None:
    """Or it would be open for ever, to who reads the log."""
    filter_ = Repeats()
    polled(filter_, 1, 2)
    filter_.passed(opened(3))
    held = DialHeld(connection=3, cause="no answer")
    assert len(filter_.passed(held)) == 2
    end = refused(3)
    assert filter_.passed(end) == (end,)
    assert end.count == 3


def test_what_still_waits_at_the_end_is_written() -> None:
    filter_ = Repeats()
    polled(filter_, 1, 2)
    waiting = opened(3)
    assert filter_.passed(waiting) == ()
    assert list(filter_.last()) == [waiting]


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST", 1)
    filter_ = Repeats()
    filter_.passed(asked())
    other = LookupFailed(name="b.test", type="A", kind=Kind.TIMEOUT, cause="x")
    for _ in range(3):
        assert filter_.passed(other) == (other,)
    assert other.count == 1
    polled(filter_, 1)
    for number in (2, 3, 4):
        both = [*filter_.passed(opened(number, 81)), *filter_.passed(refused(number))]
        assert len(both) == 2


def test_of_very_many_names_further_ones_are_counted_together() -> None:
    filter_ = Repeats()
    count = repeats.DISTINCT + 1000
    written = [each for n in range(count) for each in filter_.passed(asked(f"n{n}.test"))]
    apart, together = written[: repeats.DISTINCT], written[repeats.DISTINCT :]
    assert all(isinstance(event, NameRefused) and not event.together for event in apart)
    assert [event.count for event in together if isinstance(event, NameRefused)] == [
        2**power for power in range(10)
    ]
    assert all(isinstance(event, NameRefused) and event.together for event in together)
    (last,) = filter_.last()
    assert isinstance(last, NameRefused)
    assert (last.name, last.count, last.together) == (f"n{count - 1}.test", 1000, True)
    known = asked("n0.test")
    filter_.passed(known)
    assert (known.count, known.together) == (2, False)


def test_of_very_many_destinations_few_events_are_written() -> None:
    filter_ = Repeats()
    written: list[Event] = []
    for number in range(1, 10_001):
        written += filter_.passed(opened(number, number))
        written += filter_.passed(denied(number))
    written += filter_.last()
    assert len(written) < 2 * (repeats.DISTINCT + 20)
    assert sum(isinstance(event, ConnectionOpened) for event in written) == len(written) // 2
    last = written[-1]
    assert isinstance(last, ConnectionDenied)
    assert last.count + repeats.DISTINCT == 10_000


def test_among_very_many_what_gets_through_is_written() -> None:
    filter_ = Repeats()
    for number in range(1, 1001):
        filter_.passed(opened(number, number))
        filter_.passed(denied(number))
    first, second = opened(2000), Dialled(connection=2000, address="192.0.2.1:80", seconds=0)
    assert filter_.passed(first) == ()
    assert filter_.passed(second) == (first, second)


def test_what_was_lost_is_counted_apart_however_many_there_are() -> None:
    filter_ = Repeats()
    for number in range(1, 1000):
        lost = LookupFailed(name=f"n{number}.test", type="A", cause="no answer", kind=Kind.TIMEOUT)
        assert filter_.passed(lost) == (lost,)
        assert not lost.together


def denied(number: int) -> ConnectionDenied:
    return ConnectionDenied(connection=number, kind=Kind.POLICY, rule="*")
