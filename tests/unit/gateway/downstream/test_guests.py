"""Connections of programs to the gateway: who gives way to whom, and when nobody has to."""

import math

from relay.gateway.downstream.guests import FREE, LIMIT, Guest, Guests
from relay.record.events import Event, TurnedAway
from relay.record.kinds import Kind

HOUR = 3600.0


class Served(Guests):
    """Guests, and who was sent away."""

    def __init__(self, most: int) -> None:
        self.events: list[Event] = []
        self.gone: list[Guest] = []
        super().__init__(self.events.append, most)

    def come(self, since: float, now: float) -> Guest | None:
        """Have one come for whom is waited since then; None if there is no place."""
        guest = Guest(since)
        guest.send_away = lambda: self.gone.append(guest)
        return guest if self.arrive(guest, now) else None


def test_few_are_never_hurried() -> None:
    guests = Served(2048)
    for number in range(FREE):
        guests.come(0, HOUR * number)
    assert (len(guests), guests.gone) == (FREE, [])


def test_beyond_those_go_who_are_waited_for_too_long() -> None:
    guests = Served(2048)
    slow, busy, fresh = guests.come(0, 0), guests.come(math.inf, 0), guests.come(2, 2)
    for _ in range(FREE - 3):
        guests.come(math.inf, 2)
    guests.come(LIMIT, LIMIT)
    assert guests.gone == [slow]
    assert slow is not None
    assert slow.is_sent_away
    with guests.present(slow):
        assert len(guests) == FREE
    assert len(guests) == FREE, "it counts no more"
    assert busy not in guests.gone
    assert fresh not in guests.gone
    (event,) = guests.events
    assert event == TurnedAway(
        where="the gateway",
        kind=Kind.BOUND,
        cause="it waited for the program, and others came",
        count=1,
    )


def test_at_the_most_the_one_goes_that_is_waited_for_longest() -> None:
    guests = Served(3)
    first, second, third = (guests.come(number, 5) for number in (2, 1, 3))
    assert guests.come(6, 6)
    assert guests.gone == [second]
    assert first is not None
    first.has_asked()
    assert guests.come(7, 7)
    assert guests.gone == [second, third]


def test_who_waits_for_upstream_gives_way_to_nobody() -> None:
    guests = Served(2)
    asked: list[str] = []
    for _ in range(2):
        guest = guests.come(0, 0)
        assert guest is not None
        guest.asks = lambda: asked.append("a request")
        guest.has_asked()
    assert asked == ["a request"] * 2
    assert guests.come(HOUR, HOUR) is None
    assert (len(guests), guests.gone) == (2, [])
    assert [getattr(event, "cause", "") for event in guests.events] == ["it serves 2 at a time"]


def test_an_answer_that_is_not_taken_is_waiting_too() -> None:
    guests, guest = Served(1), Guest(5)
    assert guests.arrive(guest, 5)
    with guests.present(guest):
        assert len(guests) == 1
    assert len(guests) == 0
    guest.has_asked()
    assert math.isinf(guest.since)
    guest.taken = 7
    assert guest.since == 7


def test_of_many_that_find_no_place_the_first_second_and_fourth_are_recorded() -> None:
    guests = Served(1)
    guest = guests.come(0, 0)
    assert guest is not None
    guest.has_asked()
    assert [guests.come(1, 1) for _ in range(5)] == [None] * 5
    assert [getattr(event, "count", 0) for event in guests.events] == [1, 2, 4]
