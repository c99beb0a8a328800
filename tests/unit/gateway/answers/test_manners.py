"""What is expected of an upstream, by what it has shown."""

import math

import pytest

from relay.gateway.answers.manners import FILLED_FOR, LEAST, PINGS, UNTOLD, Manners


def test_silence_is_no_loss_where_nobody_fills_it() -> None:
    manners = Manners(is_own=False)
    assert [manners.silence(times) for times in range(3)] == [math.inf] * 3


def test_silence_is_a_loss_at_the_apis_own_host_and_later_each_time() -> None:
    manners = Manners(is_own=True)
    assert [manners.silence(times) for times in range(4)] == [60, 120, 240, 480]


@pytest.mark.parametrize("is_own", [False, True])
def test_filler_alone_is_a_loss_after_an_hour_and_later_each_time(is_own: bool) -> None:
    manners = Manners(is_own=is_own)
    hours = [manners.filled(times) / 3600 for times in range(3)]
    assert hours == [1, 2, 4]
    assert FILLED_FOR == 3600


@pytest.mark.parametrize(("filled", "limit"), [(10.0, LEAST), (25.0, PINGS * 25.0)])
def test_silence_is_a_loss_where_it_was_filled_before(filled: float, limit: float) -> None:
    manners = Manners(is_own=False)
    for seconds in (1.0, filled, 2.0):
        manners.note_filler(seconds)
    assert [manners.silence(times) for times in range(2)] == [limit, 2 * limit]


def test_an_end_that_is_never_told_is_one() -> None:
    manners = Manners(is_own=False)
    assert not any(manners.takes_untold_end() for _ in range(UNTOLD - 1))
    assert all(manners.takes_untold_end() for _ in range(3))
    manners.note_end()
    assert not manners.takes_untold_end()


def test_the_apis_own_host_tells_each_end() -> None:
    manners = Manners(is_own=True)
    assert [manners.takes_untold_end() for _ in range(9)] == [False] * 9
